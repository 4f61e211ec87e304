//! `gravimeter prices`: the price table that holds, line by line.

mod update;

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::flags::ConfigFlags;
use super::terminal_width;
use crate::pricing::{Line, Listed, Prices, Rates, SearchPrice};
use crate::record::{Label as _, TokenKind};
use crate::term::grid::{Column, Grid};
use update::Update;

/// Show the prices by which costs are computed, in US dollars for a million tokens
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct PriceTable {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

#[derive(Debug, Subcommand)]
enum Action {
    Update(Update),
}

impl PriceTable {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        if let Some(Action::Update(update)) = self.action {
            return update.run(out);
        }
        let prices = self.config.load()?.config.prices;
        if self.json {
            let lines: Vec<Value> = prices.lines().map(object).collect();
            writeln!(
                out,
                "{}",
                serde_json::to_string_pretty(&json!({ "prices": lines }))?
            )?;
        } else {
            write!(out, "{}", grid(&prices).render(terminal_width()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A row for each model, and one below it for each tier.
fn grid(prices: &Prices) -> Grid {
    let rows: Vec<Row> = prices.lines().flat_map(rows).collect();
    let column = |cell: &dyn Fn(&Row) -> String| rows.iter().map(cell).collect::<Vec<_>>();
    let mut grid = Grid::new("MODEL", column(&|row| row.model.clone()))
        .column(Column::words(
            "PROVIDER",
            3,
            column(&|row| {
                row.listed
                    .line
                    .provider
                    .map_or_else(String::new, |it| it.to_string())
            }),
        ))
        .column(Column::words(
            "FROM",
            2,
            column(&|row| {
                row.listed
                    .line
                    .from
                    .map_or_else(String::new, |day| day.to_string())
            }),
        ));
    let kinds = [
        ("INPUT", 0, TokenKind::Input),
        ("CACHE READ", 1, TokenKind::CacheRead),
        ("CACHE WRITE", 4, TokenKind::CacheWrite5m),
        ("WRITE 1H", 6, TokenKind::CacheWrite1h),
        ("TOOLS", 6, TokenKind::ToolInput),
        ("OUTPUT", 0, TokenKind::Output),
        ("THINKING", 5, TokenKind::Thinking),
    ];
    for (head, expendable, kind) in kinds {
        let price = |row: &Row| {
            row.rates
                .of(kind)
                .map_or_else(String::new, |price| price.to_string())
        };
        grid = grid.column(Column::figures(head, expendable, column(&price)));
    }
    grid.column(Column::words(
        "AS OF",
        7,
        column(&|row| row.listed.line.as_of.to_string()),
    ))
    .column(Column::words(
        "TABLE",
        8,
        column(&|row| row.listed.origin.to_string()),
    ))
}

struct Row<'a> {
    listed: Listed<'a>,
    model: String,
    rates: &'a Rates,
}

fn rows(listed: Listed<'_>) -> Vec<Row<'_>> {
    let Line {
        models,
        rates,
        tiers,
        ..
    } = listed.line;
    let of_tiers = tiers.iter().map(|tier| {
        (
            format!("  above {} input tokens", tier.above_input_tokens),
            &tier.rates,
        )
    });
    let of_tiers: Vec<_> = of_tiers.collect();
    let of_model = |model: String| std::iter::once((model, rates)).chain(of_tiers.iter().cloned());
    let all = models
        .iter()
        .flat_map(|pattern| of_model(pattern.to_string()));
    all.map(|(model, rates)| Row {
        listed,
        model,
        rates,
    })
    .collect()
}

/// Prices are texts: a JSON number could not be relied on to keep its digits.
fn object(listed: Listed<'_>) -> Value {
    let Listed { line, origin } = listed;
    let (each, per_call) = match line.web_search {
        Some(SearchPrice::PerCall(price)) => (None, Some(price.to_string())),
        Some(SearchPrice::PerSearch(price)) => (Some(price.to_string()), None),
        None => (None, None),
    };
    let tiers = line.tiers.iter().map(|tier| {
        let mut object = prices_of(&tier.rates);
        object.insert(
            "above_input_tokens".to_owned(),
            tier.above_input_tokens.into(),
        );
        Value::Object(object)
    });
    json!({
        "models": line.models.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "provider": line.provider,
        "from": line.from.map(|day| day.to_string()),
        "usd_per_million_tokens": prices_of(&line.rates),
        "tiers": tiers.collect::<Vec<_>>(),
        "factors": line.factors.0.iter().map(|(condition, factor)| (condition.to_string(), factor.to_string().into()))
            .collect::<Map<_, Value>>(),
        "usd_per_thousand_web_searches": each,
        "usd_per_thousand_searching_calls": per_call,
        "source": line.source,
        "via": line.via,
        "as_of": line.as_of.to_string(),
        "table": origin,
    })
}

fn prices_of(rates: &Rates) -> Map<String, Value> {
    let price = |kind: &TokenKind| {
        Some((
            Rates::key(*kind).to_owned(),
            rates.of(*kind)?.to_string().into(),
        ))
    };
    TokenKind::ALL.iter().filter_map(price).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pricing::read;

    fn prices() -> Prices {
        let text = r#"
[[price]]
models = ["gemini-3*", "b"]
provider = "gcp.gemini"
from = 2027-01-01
input = 2
cache_read = 0.20
output = 12.5
tiers = [{ above_input_tokens = 200_000, input = 4 }]
factors = { batch = 0.5, us = 1.1 }
web_search = 10
source = "https://example.com/a"
via = "https://example.com/b"
as_of = 2026-11-24
"#;
        Prices::new(read(text).unwrap(), false)
    }

    #[test]
    fn each_model_and_tier_has_a_line() {
        let expected = "\
MODEL                       PROVIDER    FROM        INPUT  CACHE READ  CACHE WRITE  WRITE 1H  TOOLS  OUTPUT  THINKING  AS OF       TABLE
──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
gemini-3*                   gcp.gemini  2027-01-01      2         0.2                   2    12.5      12.5  2026-11-24  file
  above 200000 input tokens gcp.gemini  2027-01-01      4         0.2                   4    12.5      12.5  2026-11-24  file
";
        let shown = grid(&prices()).render(160);
        let squeezed = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let lines = |text: &str| {
            text.lines()
                .filter(|line| !line.starts_with('─'))
                .map(squeezed)
                .collect::<Vec<_>>()
        };
        assert_eq!(lines(&shown)[..3], lines(expected), "{shown}");
        assert_eq!(lines(&shown).len(), 5, "{shown}");
    }

    #[test]
    fn json_has_all_that_the_table_says() {
        let expected = json!({
            "models": ["gemini-3*", "b"], "provider": "gcp.gemini", "from": "2027-01-01",
            "usd_per_million_tokens":
                {"cache_read": "0.2", "input": "2", "output": "12.5", "thinking": "12.5", "tool_input": "2"},
            "tiers": [{"above_input_tokens": 200_000,
                       "cache_read": "0.2", "input": "4", "output": "12.5", "thinking": "12.5", "tool_input": "4"}],
            "factors": {"batch": "0.5", "us": "1.1"}, "usd_per_thousand_web_searches": "10",
            "usd_per_thousand_searching_calls": null,
            "source": "https://example.com/a", "via": "https://example.com/b", "as_of": "2026-11-24", "table": "file",
        });
        assert_eq!(prices().lines().map(object).collect::<Vec<_>>(), [expected]);
    }
}
