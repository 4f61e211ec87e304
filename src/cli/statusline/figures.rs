//! The figures of a status line, of a running exporter or of the ledger that one has left.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::template::{Field, Template};
use crate::cli::exporter::{self, Connection};
use crate::ledger::{By, Of, UsageQuery, Zone, query_file};
use crate::record::{Id, printable};
use crate::term::figures::grouped;
use crate::term::limits::{Limit, Limits};
use crate::term::table::{Row, Usage};
use crate::web::path_of;

/// What is known; `None` is not.
#[derive(Debug, Default)]
pub(super) struct Figures {
    session: Option<Row>,
    today: Option<Row>,
    limit: Option<Limit>,
}

#[derive(Deserialize)]
struct Conversation {
    usage: Row,
}

impl Figures {
    /// Finds what the template shows.
    ///
    /// # Errors
    /// When an exporter listens that does not answer as one, or not in time. Where none listens,
    /// nothing is an error: what cannot be read of the ledger is not known.
    pub(super) fn find(
        template: &Template,
        session: Option<&Id>,
        base: &str,
        ledger: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let session = session.filter(|_| template.has_any(&SESSION));
        let asked = async {
            let limited = timeout(PATIENCE, Self::ask(template, session, base)).await;
            limited.with_context(|| format!("{base} did not answer within {PATIENCE:?}"))?
        };
        // One thread is enough for one question after another, and starts sooner.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        match runtime.block_on(asked) {
            Err(error) if exporter::is_silence(&error) => Ok(ledger
                .map_or_else(Self::default, |ledger| {
                    Self::read(template, session, ledger)
                })),
            answered => answered,
        }
    }

    async fn ask(template: &Template, session: Option<&Id>, base: &str) -> anyhow::Result<Self> {
        let mut connection = Connection::open(base).await?;
        let mut figures = Self::default();
        if let Some(id) = session {
            // One that has not made a call yet is not known.
            let found = connection.find(&path_of(id)).await?;
            let found = found.map(|body| parse::<Conversation>(&body)).transpose()?;
            figures.session = found.map(|conversation| conversation.usage);
        }
        if template.has_any(&TODAY) {
            let zone = Zone::name_of_this_machine().unwrap_or_else(|| "UTC".to_owned());
            let zone = utf8_percent_encode(&zone, NON_ALPHANUMERIC);
            let path = format!("/v1/usage?by=provider&since=today&tz={zone}");
            let usage: Usage = parse(&connection.get(&path).await?)?;
            figures.today = Some(usage.totals);
        }
        if template.has_any(&LIMIT) {
            let limits: Limits = parse(&connection.get("/v1/quotas").await?)?;
            figures.limit = limits.of_plans(Timestamp::now()).first().copied().cloned();
        }
        Ok(figures)
    }

    fn read(template: &Template, session: Option<&Id>, ledger: &Path) -> Self {
        let now = Timestamp::now();
        let today = || {
            let zone: Zone = Zone::name_of_this_machine()?.parse().ok()?;
            let query = UsageQuery {
                by: By::Provider,
                since: zone.named_day("today", now),
                zone,
                ..UsageQuery::default()
            };
            let report = query_file(ledger, &query, now).ok()?;
            row(&report.totals)
        };
        let conversation = |id: &Id| {
            let query = UsageQuery {
                by: By::Cascade,
                ..UsageQuery::default()
            };
            let groups = query_file(ledger, &query, now).ok()?.groups?;
            let is_meant =
                |of: &Of| matches!(of, Of::Cascade { cascade: Some(found), .. } if found == id);
            let group = groups.into_iter().find(|group| is_meant(&group.of))?;
            row(&group.usage)
        };
        Self {
            session: session.and_then(conversation),
            today: template.has_any(&TODAY).then(today).flatten(),
            limit: None,
        }
    }

    /// A figure as it is shown.
    pub(super) fn text(&self, field: Field) -> Option<String> {
        let (session, today, limit) = (
            self.session.as_ref(),
            self.today.as_ref(),
            self.limit.as_ref(),
        );
        let text = match field {
            Field::SessionCalls => grouped(session?.calls),
            Field::SessionCost => session?.cost(),
            Field::SessionTokens => grouped(session?.total_tokens),
            Field::TodayCalls => grouped(today?.calls),
            Field::TodayCost => today?.cost(),
            Field::TodayTokens => grouped(today?.total_tokens),
            Field::LimitLeft => limit?.left(),
            Field::LimitProvider => limit?.provider.clone(),
            Field::LimitReset => {
                let at = limit?.resets_at?.to_zoned_datetime(TimeZone::system());
                at.strftime("%H:%M").to_string()
            }
            Field::LimitWindow => {
                let limit = limit?;
                limit.window().unwrap_or(limit.name()).to_owned()
            }
        };
        Some(printable(&text))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body)
        .context("the answer is not as expected: is it the exporter of gravimeter?")
}

/// The figures of a report in the form that an exporter answers with.
fn row(usage: &crate::ledger::Usage) -> Option<Row> {
    serde_json::from_value(serde_json::to_value(usage).ok()?).ok()
}

const SESSION: [Field; 3] = [
    Field::SessionCalls,
    Field::SessionCost,
    Field::SessionTokens,
];
const TODAY: [Field; 3] = [Field::TodayCalls, Field::TodayCost, Field::TodayTokens];
const LIMIT: [Field; 4] = [
    Field::LimitLeft,
    Field::LimitProvider,
    Field::LimitReset,
    Field::LimitWindow,
];

/// A prompt that waits for longer is broken.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_cannot_steer_the_terminal() {
        let limit =
            r#"{"provider": "\u001b[2J", "model": "m", "window": "5h", "remaining_ratio": 0.429}"#;
        let figures = Figures {
            limit: serde_json::from_str(limit).unwrap(),
            ..Figures::default()
        };
        assert_eq!(
            figures.text(Field::LimitProvider).as_deref(),
            Some(r"\u{1b}[2J")
        );
        assert_eq!(figures.text(Field::LimitLeft).as_deref(), Some("42 %"));
        assert_eq!(figures.text(Field::LimitReset), None);
        assert_eq!(figures.text(Field::TodayCost), None);
    }

    #[test]
    fn a_limit_without_a_window_is_called_after_what_it_is_for() {
        let window = |window: &str| {
            let limit = format!(
                r#"{{"provider": "a", "model": "m", "display_name": "M", "window": "{window}", "remaining_ratio": 0}}"#
            );
            let figures = Figures {
                limit: serde_json::from_str(&limit).unwrap(),
                ..Figures::default()
            };
            figures.text(Field::LimitWindow)
        };
        assert_eq!(window("5h").as_deref(), Some("5h"));
        assert_eq!(window("unspecified").as_deref(), Some("M"));
    }
}
