//! What models are called and what is left of their quotas: a JSON document in, [`QuotaReport`] out.
//!
//! One table reads every document that has them: `fetchAvailableModels`, `retrieveUserQuota` and
//! `retrieveUserQuotaSummary` of Cloud Code, and what the language server makes of the first and
//! the last, which it wraps in `response`. Of everything else in them (accounts, descriptions,
//! prices) nothing is taken.
//!
//! Sources: Antigravity-Manager `src-tauri/src/modules/quota.rs`, antigravity-claude-proxy
//! `src/cloudcode/model-api.js`, gemini-cli `packages/core/src/code_assist/types.ts`.

use std::sync::LazyLock;
use std::time::SystemTime;

use crate::dialect::notices::ReadNotice;
use crate::dialect::request::id;
use crate::dialect::times::timestamp;
use crate::observe::json::{PathReader, Paths, Status, Value};
use crate::record::{
    DisplayName, Fact, Id, Model, ModelName, Models, Provider, Quota, QuotaWindow,
};

/// Reads one document, in any pieces.
pub struct QuotaDocument {
    provider: Provider,
    reader: PathReader<Field>,
    /// The model or bucket that is being read.
    entry: Entry,
    report: QuotaReport,
}

/// What a document reports.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuotaReport {
    /// What models are called. At most [`MAX_ENTRIES`].
    pub names: Vec<ModelName>,
    /// What is left: one reading for each model and window. At most [`MAX_ENTRIES`].
    pub quotas: Vec<Quota>,
}

impl QuotaDocument {
    /// A reader before the first byte of a document, whose quotas are the provider's.
    #[must_use]
    pub fn new(provider: Provider) -> Self {
        Self {
            provider,
            reader: PathReader::new(&PATHS),
            entry: Entry::default(),
            report: QuotaReport::default(),
        }
    }

    /// Reads the next decoded bytes. Returns how far the document has been read.
    pub fn feed(&mut self, plain: &[u8]) -> Status {
        let Self {
            provider,
            reader,
            entry,
            report,
        } = self;
        reader.feed(plain, &mut |field, value| match (field, value) {
            (Field::Model, Value::Key(model)) => {
                *entry = Entry {
                    subject: Id::from_wire(model),
                    ..Entry::default()
                }
            }
            (Field::Bucket, Value::Object) => *entry = Entry::default(),
            (Field::Bucket | Field::Model, Value::End) => {
                report.take(*provider, std::mem::take(entry))
            }
            (field, value) => entry.take(field, value),
        })
    }

    /// What the complete entries report; nothing if the document is malformed.
    #[must_use]
    pub fn finish(self) -> QuotaReport {
        if self.reader.status() == Status::Malformed {
            QuotaReport::default()
        } else {
            self.report
        }
    }
}

impl ReadNotice for QuotaDocument {
    fn feed(&mut self, plain: &[u8]) -> Status {
        Self::feed(self, plain)
    }

    fn finish(self: Box<Self>) -> Vec<Fact> {
        Self::finish(*self).facts().collect()
    }
}

impl QuotaReport {
    /// The same as facts.
    pub fn facts(self) -> impl Iterator<Item = Fact> {
        self.names
            .into_iter()
            .map(Fact::ModelNamed)
            .chain(self.quotas.into_iter().map(Fact::Quota))
    }

    fn take(&mut self, provider: Provider, entry: Entry) {
        let Some(model) = entry.model() else { return };
        let name = entry
            .display
            .clone()
            .filter(|_| self.names.len() < MAX_ENTRIES);
        self.names.extend(name.map(|display| ModelName {
            provider,
            model: model.clone(),
            display,
            placeholder: entry.placeholder.clone(),
        }));
        if let Some(remaining) = entry.remaining() {
            let (window, resets_at) = (entry.window(), entry.resets_at);
            self.add(Quota {
                provider,
                model,
                window,
                remaining,
                resets_at,
            });
        }
    }

    /// Of two readings of one quota (one for each kind of token) the tighter one counts: it is what
    /// refuses the next call.
    fn add(&mut self, quota: Quota) {
        let is_same =
            |known: &&mut Quota| known.model == quota.model && known.window == quota.window;
        if let Some(known) = self.quotas.iter_mut().find(is_same) {
            if quota.remaining < known.remaining {
                *known = quota;
            }
        } else if self.quotas.len() < MAX_ENTRIES {
            self.quotas.push(quota);
        }
    }
}

/// Most models, and most quotas, that are taken of one document: more models never get a name of
/// their own anyway.
pub const MAX_ENTRIES: usize = Models::DEFAULT_LIMIT;

/// One model, or one bucket of a quota.
#[derive(Debug, Default)]
struct Entry {
    /// The model, or the bucket (`gemini-5h`).
    subject: Option<Id>,
    window: Option<Id>,
    remaining: Option<f64>,
    resets_at: Option<SystemTime>,
    display: Option<DisplayName>,
    placeholder: Option<Id>,
    /// Its quota says nothing: it is switched off, or what is left is no number.
    is_void: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// One bucket of a quota.
    Bucket,
    Disabled,
    DisplayName,
    /// One model, under its name on the wire.
    Model,
    Placeholder,
    Remaining,
    ResetTime,
    Subject,
    Window,
}

impl Entry {
    fn take(&mut self, field: Field, value: Value<'_>) {
        match (field, value) {
            (_, Value::Null) => {}
            (Field::Disabled, _) => self.is_void |= value == Value::Bool(true),
            (Field::DisplayName, Value::String { text, .. }) => {
                self.display = DisplayName::from_wire(text)
            }
            (Field::Placeholder, _) => self.placeholder = id(value),
            (Field::Remaining, _) => {
                self.remaining = fraction(value);
                self.is_void |= self.remaining.is_none();
            }
            (Field::ResetTime, Value::String { text, .. }) => self.resets_at = timestamp(text),
            (Field::Subject, _) => self.subject = id(value),
            (Field::Window, _) => self.window = id(value),
            (Field::Bucket | Field::DisplayName | Field::Model | Field::ResetTime, _) => {}
        }
    }

    /// The model, or the group of models that shares the bucket: its name without the window
    /// (`gemini-5h`).
    fn model(&self) -> Option<Model> {
        let subject = self.subject.as_ref()?.as_str();
        let group = self
            .window
            .as_ref()
            .and_then(|window| subject.strip_suffix(window.as_str())?.strip_suffix('-'));
        Some(Model::from_wire(
            group.filter(|group| !group.is_empty()).unwrap_or(subject),
        ))
    }

    fn window(&self) -> QuotaWindow {
        match self.window.as_ref().map(Id::as_str) {
            Some("5h") => QuotaWindow::FiveHours,
            Some("weekly") => QuotaWindow::Weekly,
            _ => QuotaWindow::Unspecified,
        }
    }

    /// What is left. Protobuf leaves zeros out, so that a quota which will be full again but of
    /// which nothing is said to be left is used up.
    fn remaining(&self) -> Option<f64> {
        let used_up = self.resets_at.map(|_| 0.0);
        self.remaining.or(used_up).filter(|_| !self.is_void)
    }
}

/// A part of one. Some gateways write it in quotes.
fn fraction(value: Value<'_>) -> Option<f64> {
    let (Value::Number(text) | Value::String { text, cut: false }) = value else {
        return None;
    };
    text.parse::<f64>()
        .ok()
        .filter(|fraction| fraction.is_finite())
        .map(|fraction| fraction.clamp(0.0, 1.0))
}

static PATHS: LazyLock<Paths<Field>> = LazyLock::new(|| {
    let places = ["", "response."];
    Paths::new(
        FIELDS
            .into_iter()
            .flat_map(|(path, field)| places.map(|place| (format!("{place}{path}"), field))),
    )
});

const FIELDS: [(&str, Field); 15] = [
    ("models.*", Field::Model),
    ("models.*.displayName", Field::DisplayName),
    ("models.*.model", Field::Placeholder),
    ("models.*.quotaInfo.remainingFraction", Field::Remaining),
    ("models.*.quotaInfo.resetTime", Field::ResetTime),
    ("buckets[]", Field::Bucket),
    ("buckets[].modelId", Field::Subject),
    ("buckets[].remainingFraction", Field::Remaining),
    ("buckets[].resetTime", Field::ResetTime),
    ("groups[].buckets[]", Field::Bucket),
    ("groups[].buckets[].bucketId", Field::Subject),
    ("groups[].buckets[].disabled", Field::Disabled),
    ("groups[].buckets[].remainingFraction", Field::Remaining),
    ("groups[].buckets[].resetTime", Field::ResetTime),
    ("groups[].buckets[].window", Field::Window),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Label as _;

    /// Everything that a document tells, in lines.
    fn report(document: &str) -> Vec<String> {
        let mut reader = QuotaDocument::new(Provider::CloudCode);
        document
            .as_bytes()
            .chunks(3)
            .for_each(|piece| _ = reader.feed(piece));
        let QuotaReport { names, quotas } = reader.finish();
        let name = |name: ModelName| {
            let placeholder = name
                .placeholder
                .map_or_else(|| "-".to_owned(), |id| id.to_string());
            format!("{} is {} {placeholder}", name.model, name.display)
        };
        let quota = |quota: Quota| {
            let resets = quota
                .resets_at
                .map_or(-1, |at| jiff::Timestamp::try_from(at).unwrap().as_second());
            format!(
                "{} {} {} {resets}",
                quota.model,
                quota.window.as_str(),
                quota.remaining
            )
        };
        names
            .into_iter()
            .map(name)
            .chain(quotas.into_iter().map(quota))
            .collect()
    }

    /// One model's document around its quota.
    fn of_quota(info: &str) -> Vec<String> {
        report(&format!(
            r#"{{"models":{{"m":{{"quotaInfo":{{{info}}}}}}}}}"#
        ))
    }

    #[test]
    fn models_are_named_and_have_a_quota_each() {
        let document = r#"{"models":{
            "gemini-3-flash":{"displayName":"Gemini 3 Flash","model":"MODEL_PLACEHOLDER_M18","maxTokens":9,
              "quotaInfo":{"remainingFraction":0.25,"resetTime":"1970-01-01T00:00:07Z"}},
            "tab_model":{"model":"MODEL_PLACEHOLDER_M9"},
            "claude":{"quotaInfo":{"resetTime":"1970-01-01T00:00:08Z"},"displayName":"Claude \"4\""}
          },"agentModelSorts":[{"displayName":"no","groups":[{"modelIds":["no"]}]}],
          "deprecatedModelIds":{"old":{"newModelId":"no","displayName":"no"}}}"#;
        let expected = [
            "gemini-3-flash is Gemini 3 Flash MODEL_PLACEHOLDER_M18",
            "claude is Claude _4_ -",
            "gemini-3-flash unspecified 0.25 7",
            "claude unspecified 0 8",
        ];
        assert_eq!(report(document), expected);
        assert_eq!(
            report(&format!(r#"{{"response":{document}}}"#)),
            expected,
            "as the language server wraps it"
        );
    }

    #[test]
    fn a_summary_has_a_quota_for_each_group_and_window() {
        let document = r#"{"groups":[{"displayName":"Gemini Models","buckets":[
            {"bucketId":"gemini-weekly","window":"weekly","remainingFraction":0.56,"resetTime":"1970-01-01T00:00:09Z"},
            {"window":"5h","remainingFraction":1,"bucketId":"gemini-5h"}]},
          {"buckets":[{"bucketId":"3p-5h","window":"5h","resetTime":"1970-01-01T00:00:09Z"},
            {"bucketId":"3p-weekly","window":"weekly","disabled":true,"resetTime":"1970-01-01T00:00:09Z"},
            {"bucketId":"credits","window":"monthly","remainingFraction":0.5},
            {"bucketId":"-5h","window":"5h","remainingFraction":0.5},
            {"window":"5h","remainingFraction":0.5}]}]}"#;
        let expected = [
            "gemini weekly 0.56 9",
            "gemini 5h 1 -1",
            "3p 5h 0 9",
            "credits unspecified 0.5 -1",
            "-5h 5h 0.5 -1",
        ];
        assert_eq!(report(document), expected);
        assert_eq!(
            report(&format!(r#"{{"response":{document}}}"#)),
            expected,
            "as the language server wraps it"
        );
    }

    #[test]
    fn of_several_kinds_of_tokens_the_tightest_counts() {
        let bucket = |model: &str, kind: &str, left: &str| {
            format!(
                r#"{{"modelId":"{model}","tokenType":"{kind}","remainingAmount":"9","remainingFraction":{left}}}"#
            )
        };
        let buckets = [
            ("a", "REQUESTS", "0.9"),
            ("b", "REQUESTS", "0.2"),
            ("a", "TOKENS", "0.3"),
            ("b", "TOKENS", "1"),
        ];
        let buckets = buckets
            .map(|(model, kind, left)| bucket(model, kind, left))
            .join(",");
        assert_eq!(
            report(&format!(r#"{{"buckets":[{buckets}]}}"#)),
            ["a unspecified 0.3 -1", "b unspecified 0.2 -1"]
        );
    }

    #[test]
    fn what_is_left_out_is_used_up_and_what_is_no_number_says_nothing() {
        let reset = r#""resetTime":"1970-01-01T00:00:07Z""#;
        assert_eq!(of_quota(reset), ["m unspecified 0 7"]);
        assert_eq!(
            of_quota(&format!(r#""remainingFraction":null,{reset}"#)),
            ["m unspecified 0 7"]
        );
        for (left, shown) in [
            ("1.5", "1"),
            ("-0.5", "0"),
            ("1e-2", "0.01"),
            ("\"0.5\"", "0.5"),
            ("0", "0"),
        ] {
            let expected = format!("m unspecified {shown} 7");
            assert_eq!(
                of_quota(&format!(r#"{reset},"remainingFraction":{left}"#)),
                [expected],
                "{left}"
            );
        }
        for nothing in [
            "",
            r#""resetTime":"soon""#,
            r#""resetTime":7"#,
            r#""resetTime":null"#,
        ] {
            assert_eq!(of_quota(nothing), [""; 0], "{nothing}");
        }
        for left in ["1e400", "\"NaN\"", "\"\"", "true", "{}", "[]"] {
            assert_eq!(
                of_quota(&format!(r#"{reset},"remainingFraction":{left}"#)),
                [""; 0],
                "{left}"
            );
        }
        assert_eq!(
            of_quota(r#""remainingFraction":0.5,"resetTime":"soon""#),
            ["m unspecified 0.5 -1"]
        );
    }

    #[test]
    fn models_without_a_name_or_an_object_do_not_spoil_the_others() {
        let long = "x".repeat(1000);
        let quota = |left| format!(r#"{{"quotaInfo":{{"remainingFraction":{left}}}}}"#);
        let document = format!(
            r#"{{"models":{{"":{0},"{long}":{0},"a b":{0},"n":1,"a":[{0}],"m":{1},"z":null}}}}"#,
            quota(0.5),
            quota(0.7)
        );
        assert_eq!(report(&document), ["m unspecified 0.7 -1"]);
    }

    #[test]
    fn a_cut_document_tells_what_was_whole_and_a_malformed_one_nothing() {
        let model = |name: &str| format!(r#""{name}":{{"quotaInfo":{{"remainingFraction":0.5}}}}"#);
        let cut = format!(
            r#"{{"models":{{{},{}"#,
            model("a"),
            model("b").trim_end_matches('}')
        );
        assert_eq!(report(&cut), ["a unspecified 0.5 -1"]);
        assert_eq!(report(&format!("{cut}]")), [""; 0]);
        assert_eq!(report("<html>"), [""; 0]);
        assert_eq!(report("[]"), [""; 0]);
    }

    #[test]
    fn of_too_many_the_first_are_taken() {
        let model = |n: usize| {
            format!(r#""m{n}":{{"displayName":"M","quotaInfo":{{"remainingFraction":1}}}}"#)
        };
        let models: Vec<_> = (0..MAX_ENTRIES + 9).map(model).collect();
        let report = report(&format!(r#"{{"models":{{{}}}}}"#, models.join(",")));
        assert_eq!(report.len(), 2 * MAX_ENTRIES);
    }
}
