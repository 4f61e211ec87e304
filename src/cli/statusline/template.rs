//! The template of a status line: text with figures in it, and parts that are left out where a figure
//! is not known.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::record::{Label as _, label};

label! {
    /// A figure of a status line, by its name in a template.
    pub(super) enum Field {
        /// What is left of the limit that is the next to be used up.
        LimitLeft => "limit_left",
        /// Whose limit that is.
        LimitProvider => "limit_provider",
        /// When that limit is full again.
        LimitReset => "limit_reset",
        /// What that limit is counted over.
        LimitWindow => "limit_window",
        /// How many calls the session has made.
        SessionCalls => "session_calls",
        /// What the session has cost.
        SessionCost => "session_cost",
        /// How many tokens the session has used.
        SessionTokens => "session_tokens",
        /// How many calls there were today.
        TodayCalls => "today_calls",
        /// What today has cost.
        TodayCost => "today_cost",
        /// How many tokens were used today.
        TodayTokens => "today_tokens",
    }
}

/// A template that can be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Left out as a whole where one of its figures is not known.
    Optional(Vec<Piece>),
    Piece(Piece),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Field(Field),
    Text(String),
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// There is no such figure.
    #[error("there is no {{{0}}}: the figures are {known}", known = names())]
    Field(String),
    /// A part in brackets holds another one.
    #[error("a part in [brackets] cannot hold another one: a bracket itself is written [[ or ]]")]
    Nested,
    /// A bracket or brace has no counterpart.
    #[error("a {0:?} has no counterpart: the character itself is written twice")]
    Unpaired(char),
}

fn names() -> String {
    let names = Field::ALL.iter().map(|field| field.as_str());
    names.collect::<Vec<_>>().join(", ")
}

impl Template {
    /// Whether one of the fields occurs.
    pub(super) fn has_any(&self, fields: &[Field]) -> bool {
        self.fields().any(|field| fields.contains(&field))
    }

    fn fields(&self) -> impl Iterator<Item = Field> {
        let pieces = self.0.iter().flat_map(|part| match part {
            Part::Optional(pieces) => pieces.as_slice(),
            Part::Piece(piece) => std::slice::from_ref(piece),
        });
        pieces.filter_map(|piece| match piece {
            Piece::Field(field) => Some(*field),
            Piece::Text(_) => None,
        })
    }

    /// The line with its figures: `-` for one that is not known outside of brackets. Empty where
    /// there are figures and none is known.
    pub(super) fn fill(&self, figure: impl Fn(Field) -> Option<String>) -> String {
        let mut fields = self.fields().peekable();
        if fields.peek().is_some() && fields.all(|field| figure(field).is_none()) {
            return String::new();
        }
        let mut line = String::new();
        for part in &self.0 {
            match part {
                Part::Optional(pieces) => {
                    let texts: Option<Vec<_>> =
                        pieces.iter().map(|piece| piece.text(&figure)).collect();
                    line.extend(texts.into_iter().flatten());
                }
                Part::Piece(piece) => {
                    line.push_str(piece.text(&figure).as_deref().unwrap_or("-"));
                }
            }
        }
        line
    }
}

impl Piece {
    fn text(&self, figure: impl Fn(Field) -> Option<String>) -> Option<String> {
        match self {
            Self::Field(field) => figure(*field),
            Self::Text(text) => Some(text.clone()),
        }
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut optional: Option<Vec<Piece>> = None;
        let mut rest = text.chars().peekable();
        while let Some(next) = rest.next() {
            let is_doubled = "[]{}".contains(next) && rest.next_if_eq(&next).is_some();
            let piece = match next {
                '[' if !is_doubled => {
                    if optional.replace(Vec::new()).is_some() {
                        return Err(TemplateError::Nested);
                    }
                    continue;
                }
                ']' if !is_doubled => {
                    let pieces = optional.take().ok_or(TemplateError::Unpaired(']'))?;
                    parts.push(Part::Optional(pieces));
                    continue;
                }
                '{' if !is_doubled => Piece::Field(field(&mut rest)?),
                '}' if !is_doubled => return Err(TemplateError::Unpaired('}')),
                other => Piece::Text(other.to_string()),
            };
            match &mut optional {
                Some(pieces) => pieces.push(piece),
                None => parts.push(Part::Piece(piece)),
            }
        }
        match optional {
            Some(_) => Err(TemplateError::Unpaired('[')),
            None => Ok(Self(parts)),
        }
    }
}

/// The field whose name stands before the next `}`.
fn field(rest: &mut impl Iterator<Item = char>) -> Result<Field, TemplateError> {
    let mut name = String::new();
    for next in rest {
        if next == '}' {
            return Field::parse(&name).ok_or(TemplateError::Field(name));
        }
        // Writing to a String cannot fail.
        let _ = name.write_char(next);
    }
    Err(TemplateError::Unpaired('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, known: &[(Field, &str)]) -> String {
        let template: Template = template.parse().unwrap();
        template.fill(|field| {
            let found = known.iter().find(|(name, _)| *name == field);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn figures_are_filled_in_and_parts_without_one_left_out() {
        let template =
            "[{session_cost} session, ]{today_cost} today[, {limit_left} of {limit_window}]";
        let all = [
            (Field::SessionCost, "$1"),
            (Field::TodayCost, "$9"),
            (Field::LimitLeft, "42 %"),
            (Field::LimitWindow, "5h"),
        ];
        assert_eq!(fill(template, &all), "$1 session, $9 today, 42 % of 5h");
        assert_eq!(fill(template, &all[1..3]), "$9 today");
        assert_eq!(fill(template, &all[2..]), "- today, 42 % of 5h");
        assert_eq!(fill(template, &[]), "", "nothing is known");
        assert_eq!(fill("no figure", &[]), "no figure");
        assert_eq!(fill("[[{today_cost}]] }}{{", &all), "[$9] }{");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |template: &str| template.parse::<Template>().unwrap_err();
        assert_eq!(wrong("[a"), TemplateError::Unpaired('['));
        assert_eq!(wrong("a]"), TemplateError::Unpaired(']'));
        assert_eq!(wrong("{today_cost"), TemplateError::Unpaired('{'));
        assert_eq!(wrong("}"), TemplateError::Unpaired('}'));
        assert_eq!(wrong("[a[b]]"), TemplateError::Nested);
        let told = wrong("{price}").to_string();
        assert!(
            told.starts_with("there is no {price}: ") && told.contains("session_cost, "),
            "{told}"
        );
    }

    #[test]
    fn what_need_not_be_asked_for_is_known() {
        let template: Template = "{today_cost}[ {limit_left}]".parse().unwrap();
        assert!(template.has_any(&[Field::LimitLeft]) && template.has_any(&[Field::TodayCost]));
        assert!(!template.has_any(&[Field::SessionCost, Field::SessionCalls]));
    }
}
