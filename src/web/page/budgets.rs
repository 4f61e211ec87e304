//! How much of each budget is spent, as a bar, and what has changed last.

use std::fmt::{self, Write as _};

use super::View;
use super::html::{escaped, heading};
use crate::budget::{BudgetStatus, GroupStatus, Notice, State};

/// Writes nothing where there are no budgets.
pub(super) fn bars(html: &mut String, view: &View<'_>) -> fmt::Result {
    let answer = &view.budgets;
    if answer.budgets.is_empty() {
        return Ok(());
    }
    heading(html, "Budgets", Some("/v1/budgets"))?;
    html.push_str("<div class=\"scroll\" role=\"region\" aria-label=\"Budgets\" tabindex=\"0\"><ul class=\"bars\">");
    for budget in &answer.budgets {
        bar(html, budget, view)?;
    }
    html.push_str("</ul></div>");
    if !answer.changes.is_empty() {
        html.push_str("<ul class=\"events\">");
        for notice in &answer.changes {
            change(html, notice, view)?;
        }
        html.push_str("</ul>");
    }
    Ok(())
}

fn bar(html: &mut String, budget: &BudgetStatus, view: &View<'_>) -> fmt::Result {
    let percent = (budget.used_ratio * 100.0).floor() as u64;
    write!(
        html,
        "<li><b>{}</b> <small>a {}{}</small>",
        escaped(budget.name.as_str()),
        budget.per,
        most(budget)
    )?;
    // Beyond the high mark a meter shows itself as a warning, by its own colours.
    write!(
        html,
        "<meter min=\"0\" low=\"{:.0}\" high=\"{:.0}\" optimum=\"0\" max=\"100\" value=\"{percent}\" \
         aria-label=\"Spent of {}\">{percent} %</meter>",
        budget.warn * 100.0,
        budget.stop.unwrap_or(1.0) * 100.0,
        escaped(budget.name.as_str())
    )?;
    let at_least = if budget.is_lower_bound { "≥ " } else { "" };
    write!(html, "<span>{at_least}{} of {}", budget.used, budget.limit)?;
    let class = class(budget.state);
    if budget.state != State::Ok {
        write!(html, " <span class=\"dot {class}\">{}</span>", budget.state)?;
    }
    let until = match budget.state {
        State::Lifted => budget.lifted_until,
        State::Ok | State::Stopped | State::Warned => budget.until,
    };
    if let Some(until) = until {
        let until = view.reader.time(until, view.now);
        write!(html, " <small>until {until}</small>")?;
    }
    html.push_str("</span></li>");
    Ok(())
}

/// The group that has spent most.
fn most(budget: &BudgetStatus) -> String {
    let named = |group: &GroupStatus| {
        let session = group.session.as_deref().unwrap_or_default();
        let name = if group.name.is_empty() {
            session
        } else {
            &group.name
        };
        format!(" for each {}; most: {}", budget.by, escaped(name))
    };
    budget.groups.first().map(named).unwrap_or_default()
}

fn change(html: &mut String, notice: &Notice, view: &View<'_>) -> fmt::Result {
    let class = class(notice.state);
    write!(
        html,
        "<li>{} <span class=\"dot {class}\">{}",
        view.reader.time(notice.at, view.now),
        escaped(notice.budget.as_str())
    )?;
    if !notice.group.is_empty() {
        write!(html, " · {}", escaped(&notice.group))?;
    }
    write!(
        html,
        "</span> {}: {} of {}</li>",
        notice.state, notice.used, notice.limit
    )
}

fn class(state: State) -> &'static str {
    match state {
        State::Ok => "good",
        State::Lifted | State::Warned => "none",
        State::Stopped => "bad",
    }
}
