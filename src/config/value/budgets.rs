//! Reads `[[budget]]`. A mistake carries the line of the key that is wrong.

use super::{Part, Value, Wrong};
use crate::budget::{Amount, Budget, BudgetName, GroupBy, NamePattern, OnError, Unit, Window};
use crate::config::nearest::nearest;
use crate::ledger::Zone;
use crate::record::Label;

impl Value {
    /// Budgets, each with a name of its own.
    pub(in crate::config) fn budgets(&self) -> Result<Vec<Budget>, Wrong> {
        let Self::List(parts) = self else {
            return Err(Wrong::new(format!(
                "{self} is not a list of budgets: write the keys of each one below [[budget]]"
            )));
        };
        let mut budgets = Vec::<Budget>::new();
        for part in parts {
            let budget = part.read(|part| Table::of(part)?.budget())?;
            if budgets.iter().any(|known| known.name == budget.name) {
                let what = format!("two budgets have the name {:?}", budget.name.as_str());
                return Err(Wrong {
                    message: format!("{what}: give each one a name of its own"),
                    line: part.line,
                });
            }
            budgets.push(budget);
        }
        Ok(budgets)
    }
}

/// A budget for each day that stops calls when so many dollars are spent.
///
/// # Errors
/// What is wrong with the number of dollars, for people.
pub(crate) fn budget_of_a_day(name: &str, dollars: &str) -> Result<Budget, String> {
    let parts = [
        ("name", name.to_owned()),
        ("cost", dollars.to_owned()),
        ("per", Window::Day.as_str().to_owned()),
        ("stop", "1".to_owned()),
    ];
    let parts = parts.map(|(name, text)| Part {
        name: name.to_owned(),
        value: Value::Text(text),
        line: None,
    });
    let table = Table { parts: &parts };
    table.budget().map_err(|wrong| wrong.message)
}

/// The keys of one budget.
struct Table<'a> {
    parts: &'a [Part],
}

impl<'a> Table<'a> {
    fn of(part: &'a Part) -> Result<Self, Wrong> {
        let Value::Map(parts) = &part.value else {
            return Err(Wrong::new(format!(
                "{} is not a budget: write its keys below [[budget]]",
                part.value
            )));
        };
        for part in parts {
            part.read(|part| is_known(&part.name))?;
        }
        Ok(Self { parts })
    }

    fn budget(&self) -> Result<Budget, Wrong> {
        let name = self.name()?;
        let limit = self.limit(&name)?;
        let per = self.read("per", |value| value.choice(&words::<Window>()))?;
        let window = per.ok_or_else(|| {
            let what = format!("the budget {:?} says not for how long it is", name.as_str());
            Wrong::new(format!(
                r#"{what}: write per = "day" (or hour, week, month, session)"#
            ))
        })?;
        let by = self.read("by", |value| value.choice(&words::<GroupBy>()))?;
        let pattern = |value: &Value| value.text().map(|text| NamePattern::new(&text));
        let only = self.read("only", |value| value.list("name", pattern))?;
        let stop = self.read("stop", share)?;
        let warn = self.read("warn", share)?;
        if let (Some(warn), Some(stop)) = (warn, stop)
            && warn > stop
        {
            return Err(Wrong {
                message: format!(
                    "a warning at {warn} would come after the stop at {stop}: make warn smaller than stop"
                ),
                line: self.find("warn").and_then(|part| part.line),
            });
        }
        let fail = self.read("fail", |value| value.choice(&words::<OnError>()))?;
        let zone = self.read("zone", zone)?;
        Ok(Budget {
            name,
            limit,
            window,
            by: by.unwrap_or(GroupBy::All),
            only: only.unwrap_or_default(),
            warn: warn.unwrap_or(DEFAULT_WARN * stop.unwrap_or(1.0)),
            stop,
            on_error: fail.unwrap_or(OnError::Open),
            zone: zone
                .unwrap_or_else(Zone::of_this_machine)
                .time_zone()
                .clone(),
        })
    }

    fn name(&self) -> Result<BudgetName, Wrong> {
        let read = |value: &Value| {
            let text = value.text()?;
            text.parse()
                .map_err(|wrong| Wrong::new(format!("{value} is {wrong}")))
        };
        let nameless = || Wrong::new(r#"a budget has no name: write name = "daily""#.to_owned());
        self.read("name", read)?.ok_or_else(nameless)
    }

    fn limit(&self, name: &BudgetName) -> Result<Amount, Wrong> {
        let limits = [
            (
                Unit::Cost,
                self.read("cost", |value| limit(value, nano_usd))?,
            ),
            (
                Unit::Tokens,
                self.read("tokens", |value| limit(value, whole))?,
            ),
            (
                Unit::Calls,
                self.read("calls", |value| limit(value, whole))?,
            ),
        ];
        let mut given = limits
            .into_iter()
            .filter_map(|(unit, value)| value.map(|value| Amount { unit, value }));
        match (given.next(), given.next()) {
            (Some(limit), None) => Ok(limit),
            (None, _) => Err(Wrong::new(format!(
                "the budget {:?} has no limit: write cost = 5.0 (US dollars), tokens = 2000000 or calls = 500",
                name.as_str()
            ))),
            (Some(_), Some(_)) => Err(Wrong::new(format!(
                "the budget {:?} has two limits: keep one of cost, tokens and calls, and make another budget of the rest",
                name.as_str()
            ))),
        }
    }

    /// The value of a key, where it is there.
    fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, Wrong>,
    ) -> Result<Option<T>, Wrong> {
        let named = |wrong: Wrong| Wrong {
            message: format!("{name}: {}", wrong.message),
            ..wrong
        };
        self.find(name)
            .map(|part| part.read(|part| read(&part.value).map_err(named)))
            .transpose()
    }

    fn find(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }
}

fn is_known(name: &str) -> Result<(), Wrong> {
    if KEYS.contains(&name) {
        return Ok(());
    }
    let remedy = match nearest(name, KEYS.into_iter()) {
        Some(key) => format!("did you mean {key}?"),
        None => format!("a budget has {}", KEYS.join(", ")),
    };
    Err(Wrong::new(format!(
        "{name}: there is no such key of a budget: {remedy}"
    )))
}

fn words<T: Label>() -> Vec<(&'static str, T)> {
    T::ALL.iter().map(|word| (word.as_str(), *word)).collect()
}

fn limit(value: &Value, read: impl Fn(&Value) -> Option<u64>) -> Result<u64, Wrong> {
    match read(value) {
        Some(0) => Err(Wrong::new(
            "0 would leave nothing to spend: write more than 0, or leave the budget out".to_owned(),
        )),
        Some(limit) if limit <= Amount::MAX_LIMIT => Ok(limit),
        Some(_) => Err(Wrong::new(
            "this is more than anybody spends: write less than 9000000 dollars or 9000000000000000"
                .to_owned(),
        )),
        None => Err(Wrong::new(format!(
            "{value} is not a limit: write a number without quotes, such as 5.0 for dollars, or 500 for tokens and calls"
        ))),
    }
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// US dollars, exactly.
fn nano_usd(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Fraction(text) | Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        _ => return None,
    };
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(part) || part.len() > DIGITS {
        return None;
    }
    let part: u64 = format!("{part:0<DIGITS$}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(10u64.pow(9))?.checked_add(part)
}

/// A share of the limit, more than nothing.
fn share(value: &Value) -> Result<f64, Wrong> {
    let share = value.fraction()?;
    if share > 0.0 {
        return Ok(share);
    }
    Err(Wrong::new(
        "at 0 it holds before anything is spent: write a share from 0.01 to 1, or leave the key out"
            .to_owned(),
    ))
}

fn zone(value: &Value) -> Result<Zone, Wrong> {
    let text = value.text()?;
    text.parse()
        .map_err(|wrong| Wrong::new(format!("{value} is {wrong}")))
}

const KEYS: [&str; 11] = [
    "name", "cost", "tokens", "calls", "per", "by", "only", "warn", "stop", "fail", "zone",
];

/// Of what calls are stopped at, or of the limit.
const DEFAULT_WARN: f64 = 0.8;

/// Of a dollar, behind the point: nano-USD.
const DIGITS: usize = 9;
