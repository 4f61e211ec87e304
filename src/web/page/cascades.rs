//! The table of conversations: those that the agent works on, then those it worked on last.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::html::{Cells, END_TABLE, begin_table, escaped, grouped, seconds};
use super::{Reader, View};
use crate::ledger::{Cascade, CascadesQuery, Ledger, State};
use crate::record::{Id, Model, RepositoryName};
use crate::web::cascades::encoded;

/// The conversations that the page has room for.
pub(super) fn recent(ledger: &Ledger) -> Vec<Cascade> {
    let of_state = |state| {
        ledger
            .cascades(&CascadesQuery {
                state: Some(state),
                limit: ROWS,
                cursor: None,
            })
            .cascades
    };
    let mut cascades = of_state(State::Running);
    cascades.extend(of_state(State::Idle));
    cascades.truncate(ROWS);
    cascades
}

/// Writes nothing while no conversation is known.
pub(super) fn table(html: &mut String, view: &View<'_>) -> fmt::Result {
    if view.cascades.is_empty() {
        return Ok(());
    }
    let active = format!("Last active ({})", view.reader.zone_at(view.now));
    let columns = [
        "Conversation",
        "State",
        &active,
        "Tokens",
        "Calls",
        "Runs",
        "Last run",
        "First chunk",
    ];
    begin_table(html, "Conversations", Some("/v1/cascades"), &columns)?;
    for cascade in &view.cascades {
        row(html, view, cascade, &columns)?;
    }
    html.write_str(END_TABLE)
}

fn row(html: &mut String, view: &View<'_>, cascade: &Cascade, columns: &[&str]) -> fmt::Result {
    let key = first_model(cascade).map(|model| view.marks.get(model).key());
    write!(
        html,
        "<tr><th scope=\"row\">{}{}<small>{}</small></th>",
        key.unwrap_or_default(),
        link(view.reader, &cascade.id, view.names.get(cascade)),
        model(cascade)
    )?;
    let mut cells = Cells::new(html, columns);
    cells.cell("", state(view, cascade))?;
    cells.cell("", view.reader.time(cascade.last_active_at, view.now))?;
    cells.cell("total", grouped(cascade.usage.total_tokens))?;
    cells.figure(cascade.usage.calls)?;
    cells.figure(cascade.runs_ended)?;
    let run = cascade.last_run.as_ref();
    cells.known(run.map(|run| format!("{} {}", seconds(run.duration_seconds), run.outcome)))?;
    cells.known(run.and_then(|run| run.time_to_first_chunk_seconds.map(seconds)))?;
    html.write_str("</tr>")
}

pub(super) fn state(view: &View<'_>, cascade: &Cascade) -> String {
    let Some(since) = cascade.running_since else {
        return "idle".to_owned();
    };
    let elapsed = view.now.duration_since(since).as_secs().max(0);
    format!(
        "<span class=\"dot good\">running {}:{:02}</span>",
        elapsed / 60,
        elapsed % 60
    )
}

/// A link to the page of a conversation. `name` is plain text.
pub(super) fn link(reader: &Reader, id: &Id, name: &str) -> String {
    format!(
        "<a href=\"{}\" title=\"{}\">{}</a>",
        reader.link(&format!("/conversations/{}", encoded(id))),
        escaped(id.as_str()),
        escaped(name)
    )
}

/// What a person knows a conversation by: its repository, its first model and when it began.
pub(super) fn name(reader: &Reader, cascade: &Cascade, now: Timestamp) -> String {
    let repository = cascade.repository.as_ref().map(short_name);
    let model = first_model(cascade).map(|model| model.as_str());
    let began = reader.short(cascade.started_at, now);
    let parts = [repository, model, Some(&began)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// The names of all conversations of a page.
#[derive(Debug, Default)]
pub(super) struct CascadeNames(HashMap<Id, String>);

impl CascadeNames {
    /// Conversations that would have the same name have the beginning of their id, too.
    pub(super) fn of<'a>(
        reader: &Reader,
        cascades: impl Iterator<Item = &'a Cascade>,
        now: Timestamp,
    ) -> Self {
        let named = |cascade: &Cascade| (cascade.id.clone(), name(reader, cascade, now));
        let mut names: HashMap<Id, String> = cascades.map(named).collect();
        let mut uses = HashMap::<String, usize>::new();
        for name in names.values() {
            *uses.entry(name.clone()).or_default() += 1;
        }
        for (id, name) in &mut names {
            if uses.get(name).is_some_and(|uses| *uses > 1) {
                name.push_str(" · ");
                name.extend(id.as_str().chars().take(SHORT_ID));
            }
        }
        Self(names)
    }

    pub(super) fn get(&self, cascade: &Cascade) -> &str {
        self.0.get(&cascade.id).map_or("", String::as_str)
    }
}

/// As many characters of an id tell conversations apart.
const SHORT_ID: usize = 8;

/// That of its first call; of a conversation without calls, that of its last run.
fn first_model(cascade: &Cascade) -> Option<&Model> {
    cascade.first_model.as_ref().or(cascade.model.as_ref())
}

/// The name of a repository without its host.
fn short_name(repository: &RepositoryName) -> &str {
    let name = repository.as_str();
    name.split_once('/').map_or(name, |(_, name)| name)
}

/// The model that most tokens went to: the display name where there is one, that of the wire
/// otherwise.
fn model(cascade: &Cascade) -> String {
    let named = cascade.display_name.as_ref().map(|name| name.as_str());
    let model = named.or(cascade.model.as_ref().map(|model| model.as_str()));
    model.map_or_else(|| "no call yet".to_owned(), escaped)
}

/// Most rows; the rest is at `/v1/cascades`.
const ROWS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_without_its_host() {
        let short = |name: &str| {
            let name = RepositoryName::new(name).expect("a name");
            short_name(&name).to_owned()
        };
        assert_eq!(short("github.com/owner/name"), "owner/name");
        assert_eq!(short("folder"), "folder");
    }
}
