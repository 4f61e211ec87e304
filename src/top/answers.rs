//! The answers of an exporter, as far as the screen shows them. Fields that are missing count as not
//! reported, unknown ones are ignored: the exporter may be of another version.

use std::collections::BTreeMap;

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::term::limits::Limits;
use crate::term::table::{Row, Usage};

/// Everything that was answered at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answers {
    pub(super) live: Live,
    pub(super) conversations: Vec<Conversation>,
    /// `None` where the exporter is of a version without sessions.
    pub(super) sessions: Option<Vec<Session>>,
    /// What was spent since the beginning of the day.
    pub(super) today: Row,
    pub(super) limits: Limits,
}

/// The bodies of an exporter were not the expected JSON.
#[derive(Debug, thiserror::Error)]
#[error("the answer of {path} cannot be read ({source}): is it the exporter of gravimeter?")]
pub(crate) struct ReadError {
    path: String,
    source: serde_json::Error,
}

impl Answers {
    /// The path to ask for sessions, which an exporter need not have.
    pub(crate) const SESSIONS_PATH: &str = "/v1/sessions?limit=200";

    /// The paths to ask for, in the order in which [`Answers::read`] takes their bodies. The day is
    /// one of the zone, UTC where it has no name.
    pub(crate) fn paths(zone: Option<&str>) -> [String; 4] {
        let zone = utf8_percent_encode(zone.unwrap_or("UTC"), NON_ALPHANUMERIC);
        [
            "/v1/live".to_owned(),
            format!("/v1/cascades?limit={MAX_CONVERSATIONS}"),
            format!("/v1/usage?by=provider&since=today&tz={zone}"),
            "/v1/quotas".to_owned(),
        ]
    }

    /// Reads the bodies of [`Answers::paths`] and of [`Answers::SESSIONS_PATH`].
    ///
    /// # Errors
    /// [`ReadError`] for the first that is not what it should be.
    pub(crate) fn read(
        paths: &[String; 4],
        bodies: [impl AsRef<[u8]>; 4],
        sessions: Option<impl AsRef<[u8]>>,
    ) -> Result<Self, ReadError> {
        let [live_path, conversations_path, usage_path, limits_path] = paths;
        let [live, conversations, usage, limits] = bodies;
        let page: ConversationPage = parse(conversations_path, conversations.as_ref())?;
        let usage: Usage = parse(usage_path, usage.as_ref())?;
        Ok(Self {
            live: parse(live_path, live.as_ref())?,
            conversations: page.cascades,
            sessions: sessions
                .map(|body| parse::<SessionPage>(Self::SESSIONS_PATH, body.as_ref()))
                .transpose()?
                .map(|page| page.sessions),
            today: usage.totals,
            limits: parse(limits_path, limits.as_ref())?,
        })
    }
}

fn parse<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, ReadError> {
    serde_json::from_slice(body).map_err(|source| ReadError {
        // Without the parameters, which say nothing here.
        path: path.split('?').next().unwrap_or_default().to_owned(),
        source,
    })
}

/// The part of `/v1/live` that is shown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Live {
    pub(super) version: String,
    pub(super) ready: bool,
    pub(super) in_flight: BTreeMap<String, u64>,
    window_seconds: u64,
    output_tokens_per_second: Vec<Rate>,
    pub(super) calls: Vec<Call>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Rate {
    rates: Vec<f64>,
}

impl Live {
    /// Tokens per second of all models together, slot by slot, the oldest first.
    pub(super) fn rates(&self) -> Vec<f64> {
        let slots = self.output_tokens_per_second.iter();
        let slots = slots.map(|rate| rate.rates.len()).max().unwrap_or(0);
        let sum = |slot: usize| {
            let rates = self.output_tokens_per_second.iter();
            rates.filter_map(|rate| rate.rates.get(slot)).sum()
        };
        (0..slots).map(sum).collect()
    }

    /// The mean of the last minute.
    pub(super) fn rate_of_last_minute(&self) -> f64 {
        let rates = self.rates();
        let window = usize::try_from(self.window_seconds).unwrap_or(usize::MAX);
        let wanted = (rates.len() * 60).checked_div(window).unwrap_or(0).max(1);
        let newest = rates.iter().rev().take(wanted);
        let count = newest.len().max(1);
        newest.sum::<f64>() / count as f64
    }
}

/// A call that has ended.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) ended_at: Timestamp,
    pub(super) provider: String,
    pub(super) operation: String,
    pub(super) model: String,
    #[serde(default)]
    pub(super) served_model: Option<String>,
    pub(super) outcome: String,
    pub(super) quality: String,
    pub(super) input_tokens: u64,
    pub(super) cache_read_tokens: u64,
    pub(super) output_tokens: u64,
    #[serde(default)]
    pub(super) time_to_first_chunk_seconds: Option<f64>,
    pub(super) duration_seconds: f64,
    #[serde(default)]
    pub(super) cost_usd: Option<f64>,
    #[serde(default)]
    pub(super) cascade: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ConversationPage {
    cascades: Vec<Conversation>,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Conversation {
    pub(super) id: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) display_name: Option<String>,
    pub(super) started_at: Timestamp,
    pub(super) last_active_at: Timestamp,
    #[serde(default)]
    pub(super) running_since: Option<Timestamp>,
    #[serde(default)]
    pub(super) runs_ended: u64,
    #[serde(default)]
    pub(super) last_run: Option<Run>,
    pub(super) usage: Row,
}

/// A run of a conversation that has ended.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Run {
    pub(super) started_at: Timestamp,
    pub(super) duration_seconds: f64,
    pub(super) outcome: String,
}

#[derive(Debug, Deserialize)]
struct SessionPage {
    sessions: Vec<Session>,
}

/// A run of a program in a terminal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) program: String,
    #[serde(default)]
    pub(super) repository: Option<String>,
    #[serde(default)]
    pub(super) branch: Option<String>,
    pub(super) started_at: Timestamp,
    #[serde(default)]
    pub(super) ended_at: Option<Timestamp>,
    pub(super) usage: Row,
}

/// More than anybody looks through on a terminal.
const MAX_CONVERSATIONS: u16 = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::tests::answers;

    #[test]
    fn rates_are_those_of_all_models_and_of_the_last_minute() {
        let live = answers().live;
        assert_eq!(live.rates(), [1.0, 2.0, 3.0, 4.0, 30.5]);
        assert_eq!(live.rate_of_last_minute(), 30.5, "five slots of a minute");
        assert_eq!(Live::default().rate_of_last_minute(), 0.0);
    }

    #[test]
    fn the_day_is_one_of_the_zone() {
        let [_, _, usage, _] = Answers::paths(Some("Europe/Berlin"));
        assert_eq!(
            usage,
            "/v1/usage?by=provider&since=today&tz=Europe%2FBerlin"
        );
    }

    #[test]
    fn a_stranger_is_told_by_the_path_that_it_does_not_know() {
        let told = Answers::read(
            &Answers::paths(None),
            ["{}", "<html>", "{}", "{}"],
            None::<&str>,
        );
        let told = told.expect_err("no answer").to_string();
        assert!(
            told.starts_with("the answer of /v1/cascades cannot be read"),
            "{told}"
        );
    }
}
