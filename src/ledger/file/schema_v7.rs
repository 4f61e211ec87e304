//! The seventh version of the file: the rules that changed the request of a call.

/// What earlier versions have counted was changed by none. `rules` has the names of the rules, joined
/// by `+`; `asked_model` the model that the agent asked for, where a rule put another one in its
/// place.
pub(super) const V7: &str = "
ALTER TABLE calls ADD COLUMN rules TEXT;
ALTER TABLE calls ADD COLUMN asked_model TEXT;
CREATE INDEX calls_by_rules ON calls (ended_at) WHERE rules IS NOT NULL;
";
