//! Which groups of a budget the calls of a connection count in, as far as that is known before they
//! are made.

use super::account::{Account, Group};
use super::definition::{Budget, GroupBy};
use super::window::Window;
use crate::record::{
    Caller, Label as _, MadeCall, Models, ProgramName, Provider, RepositoryName, SessionId,
};

/// What is known of the calls that a connection is for.
#[derive(Debug)]
pub(crate) struct ConnectionScope<'a> {
    /// Who answers them, where that is known; else the host decides.
    pub(crate) provider: Option<Provider>,
    /// Who makes them.
    pub(crate) caller: &'a Caller,
    /// Those that it has carried already.
    pub(crate) calls: &'a [MadeCall],
}

/// The groups that a call on the connection would count in. Of models and subagents, those are known
/// whose calls the connection has carried already.
pub(super) fn groups(
    budget: &Budget,
    providers: &[Provider],
    scope: &ConnectionScope<'_>,
    models: &Models,
) -> Vec<Group> {
    let ConnectionScope { caller, calls, .. } = scope;
    let session = match (budget.window, &caller.session) {
        (Window::Session, None) => return Vec::new(),
        (Window::Session, Some(session)) => Some(session.clone()),
        _ => None,
    };
    let names: Vec<String> = match budget.by {
        GroupBy::All => vec![String::new()],
        GroupBy::Model => calls
            .iter()
            .map(|call| models.label(&call.model).to_string())
            .collect(),
        GroupBy::Program => name(caller.program.as_ref().map(ProgramName::as_str)),
        GroupBy::Provider => providers
            .iter()
            .map(|provider| provider.as_str().to_owned())
            .collect(),
        GroupBy::Repository => name(caller.repository.as_ref().map(RepositoryName::as_str)),
        GroupBy::Session => name(caller.session.as_ref().map(SessionId::as_str)),
        GroupBy::Subagent => {
            let subagents = calls.iter().filter_map(|call| call.subagent.as_ref());
            subagents.map(ToString::to_string).collect()
        }
    };
    let meant = names.into_iter().filter(|name| budget.is_meant(name));
    meant
        .map(|name| Group {
            name,
            session: session.clone(),
        })
        .collect()
}

fn name(name: Option<&str>) -> Vec<String> {
    name.map(str::to_owned).into_iter().collect()
}

/// Whether the account is by what only a call itself shows.
pub(super) fn needs_call(account: &Account) -> bool {
    matches!(account.budget.by, GroupBy::Model | GroupBy::Subagent)
}

/// Whether it matters to the account which program has opened a connection, and that is looked for
/// only after the connection was accepted.
pub(super) fn needs_program(account: &Account) -> bool {
    matches!(account.budget.by, GroupBy::Program | GroupBy::Repository)
}
