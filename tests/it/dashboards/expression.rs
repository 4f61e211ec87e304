//! PromQL, taken apart: what an expression asks for, and how.

use promql_parser::label::MatchOp;
use promql_parser::parser::{Expr, VectorSelector, parse};

/// Stands for `$__rate_interval` where only the syntax matters; no expression has it otherwise.
pub const RATE_INTERVAL: &str = "4242s";

/// Stands for `$__range`.
pub const RANGE: &str = "8484s";

/// A selector, with what stands around it.
#[derive(Debug)]
pub struct Selector {
    pub metric: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, &'static str, String)>,
    /// The window in seconds, where it has one.
    pub window: Option<u64>,
    /// The function that takes it, where one does.
    pub function: Option<String>,
}

impl Selector {
    fn new(selector: &VectorSelector, window: Option<u64>, function: Option<&str>) -> Self {
        let matchers = selector.matchers.matchers.iter().map(|matcher| {
            let operator = match matcher.op {
                MatchOp::Equal => "=",
                MatchOp::NotEqual => "!=",
                MatchOp::Re(_) => "=~",
                MatchOp::NotRe(_) => "!~",
            };
            (matcher.name.clone(), operator, matcher.value.clone())
        });
        let metric = selector.name.clone().unwrap_or_default();
        Self {
            metric,
            matchers: matchers.collect(),
            window,
            function: function.map(str::to_owned),
        }
    }

    /// The name that the reference page has for it: without what a histogram puts on its series.
    pub fn family(&self) -> &str {
        let parts = ["_bucket", "_sum", "_count"];
        parts
            .iter()
            .find_map(|part| self.metric.strip_suffix(part))
            .unwrap_or(&self.metric)
    }

    pub fn has(&self, label: &str, value: &str) -> bool {
        self.matchers
            .iter()
            .any(|(name, operator, is)| name == label && *operator == "=~" && is == value)
    }
}

/// The selectors of an expression of a board or a rule.
///
/// # Errors
/// When it is no PromQL.
pub fn selectors(expression: &str) -> Result<Vec<Selector>, String> {
    let mut found = Vec::new();
    walk(&parse(&filled(expression))?, None, &mut found);
    Ok(found)
}

fn filled(expression: &str) -> String {
    expression
        .replace("$__rate_interval", RATE_INTERVAL)
        .replace("$__range", RANGE)
}

/// The last edge of the classic buckets of a histogram, as an expression names it.
#[derive(Debug)]
pub struct LastEdge {
    pub family: String,
    pub edge: f64,
}

/// What an expression compares quantiles of classic buckets with.
///
/// # Errors
/// When it is no PromQL.
pub fn last_edges(expression: &str) -> Result<Vec<LastEdge>, String> {
    let mut found = Vec::new();
    compared(&parse(&filled(expression))?, &mut found);
    Ok(found)
}

fn compared(expression: &Expr, found: &mut Vec<LastEdge>) {
    match expression {
        Expr::Aggregate(of) => compared(&of.expr, found),
        Expr::Binary(of) => {
            if let (Expr::Call(call), Expr::NumberLiteral(edge)) = (&*of.lhs, &*of.rhs)
                && call.func.name == "histogram_quantile"
                && of.op.to_string() == "<"
            {
                let mut buckets = Vec::new();
                walk(&of.lhs, None, &mut buckets);
                found.extend(buckets.iter().map(|selector| LastEdge {
                    family: selector.family().to_owned(),
                    edge: edge.val,
                }));
            }
            compared(&of.lhs, found);
            compared(&of.rhs, found);
        }
        Expr::Paren(of) => compared(&of.expr, found),
        _ => {}
    }
}

fn walk(expression: &Expr, function: Option<&str>, found: &mut Vec<Selector>) {
    match expression {
        Expr::Aggregate(of) => walk(&of.expr, None, found),
        Expr::Binary(of) => {
            walk(&of.lhs, None, found);
            walk(&of.rhs, None, found);
        }
        Expr::Call(call) => call
            .args
            .args
            .iter()
            .for_each(|argument| walk(argument, Some(call.func.name), found)),
        Expr::MatrixSelector(of) => {
            found.push(Selector::new(&of.vs, Some(of.range.as_secs()), function))
        }
        Expr::Paren(of) => walk(&of.expr, function, found),
        Expr::Subquery(of) => walk(&of.expr, None, found),
        Expr::Unary(of) => walk(&of.expr, None, found),
        Expr::VectorSelector(of) => found.push(Selector::new(of, None, function)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}
