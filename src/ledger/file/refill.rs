//! What a start takes from the file into memory: the newest conversations with their sums, runs and
//! calls, so that the list of them goes on where it ended.
//!
//! Steps are in no file by conversation, and what the agent was doing is not known any more: every
//! conversation waits for its user until its agent says otherwise.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use rusqlite::{Connection, Row};
use serde_json::json;

use super::callers::caller;
use super::columns::{TOKENS, count};
use super::query;
use super::span::Span;
use super::subagents::{FoundSubagent, subagents};
use super::substitutions;
use super::writer::Boot;
use crate::ledger::memory::call::{CallId, CallRecord};
use crate::ledger::memory::conversation::SubagentSums;
use crate::ledger::memory::store::{Limits, Store};
use crate::ledger::memory::sums::{ByModel, Served};
use crate::ledger::memory::thread::Thread;
use crate::record::{
    AppliedRules, CascadeRun, Cost, Id, Label, Model, Models, TokenKind, TokenUsage,
};

/// What earlier processes have left, as much as is kept in memory.
#[derive(Debug)]
pub(in crate::ledger) struct Past {
    /// The least recently active first.
    conversations: Vec<Conversation>,
    /// With how many runs of its conversation have ended by then; the first to end first.
    runs: Vec<(CascadeRun, u64)>,
    /// The newest first.
    calls: Vec<Call>,
    subagents: Vec<FoundSubagent>,
    substitutions: Vec<substitutions::OfConversation>,
}

#[derive(Debug)]
struct Conversation {
    id: Id,
    began: Timestamp,
    ended: Timestamp,
    sums: ByModel,
}

#[derive(Debug)]
struct Call {
    /// Of the calls of this process: negative for those of earlier ones.
    number: i64,
    cascade: Id,
    served: Served,
    record: CallRecord,
}

impl Past {
    /// Reads it in the order in which it is put back.
    pub(in crate::ledger) fn read(
        connection: &Connection,
        limits: &Limits,
        models: &Models,
    ) -> rusqlite::Result<Self> {
        let conversations = conversations(connection, models)?;
        let runs = runs(connection, limits, &conversations)?;
        Ok(Self {
            conversations,
            runs,
            calls: calls(connection, limits, models)?,
            subagents: subagents(connection, &everything(), models)?,
            substitutions: substitutions::by_conversation(connection, models)?,
        })
    }

    /// Puts it into a store whose other sums it is part of. Where that knows a conversation already,
    /// which is then newer, the sums are added, and the list of its runs stays.
    pub(in crate::ledger) fn put_into(self, store: &mut Store) {
        let beginnings = self.beginnings();
        let newer = store.runs_ended();
        for Conversation {
            id,
            began,
            ended,
            sums,
        } in self.conversations
        {
            // The slot of a conversation's first call says less than that call, where it is here.
            let exact = beginnings
                .get(&id)
                .filter(|(_, calls)| *calls == sums.total().calls());
            store.put_back(id, sums, exact.map_or(began, |(began, _)| *began), ended);
        }
        for (run, number) in &self.runs {
            let later = newer.get(&run.cascade).copied();
            if later.is_none() {
                store.run_ended(run);
            }
            store.runs_were(&run.cascade, number + later.unwrap_or_default());
        }
        for Call {
            number,
            cascade,
            served,
            record,
        } in self.calls
        {
            store.put_back_call(number, cascade, served, record);
        }
        for found in self.subagents {
            let FoundSubagent {
                cascade,
                subagent,
                parent,
                kind,
                sums,
            } = found;
            store.put_back_subagent(&cascade, subagent, SubagentSums { parent, kind, sums });
        }
        for of in &self.substitutions {
            store.put_back_substitutions(&of.cascade, &of.asked, &of.answered, of.calls);
        }
    }

    /// When the first of the calls began that are here of each conversation, and how many they are.
    fn beginnings(&self) -> HashMap<Id, (Timestamp, u64)> {
        let mut beginnings = HashMap::new();
        for Call {
            cascade, record, ..
        } in &self.calls
        {
            let (began, calls) = beginnings
                .entry(cascade.clone())
                .or_insert((record.started_at, 0));
            (*began, *calls) = ((*began).min(record.started_at), *calls + 1);
        }
        beginnings
    }
}

fn conversations(connection: &Connection, models: &Models) -> rusqlite::Result<Vec<Conversation>> {
    let found = query::threads(connection, &everything(), models)?;
    let mut conversations: Vec<Conversation> = found.into_iter().filter_map(conversation).collect();
    conversations.sort_by_key(|conversation| conversation.ended);
    Ok(conversations)
}

fn everything() -> Span {
    Span::new(None, None, i64::MIN)
}

/// `None` for calls whose conversation is not known: they are counted among all others.
fn conversation(found: query::FoundThread) -> Option<Conversation> {
    let Thread::Cascade(id) = found.thread else {
        return None;
    };
    let at = |at| Timestamp::from_millisecond(at).unwrap_or_default();
    Some(Conversation {
        id,
        began: at(found.first),
        ended: at(found.last),
        sums: found.sums,
    })
}

/// Of the conversations, and of as many others as ran last: no other one can be among the most
/// recently active.
fn runs(
    connection: &Connection,
    limits: &Limits,
    conversations: &[Conversation],
) -> rusqlite::Result<Vec<(CascadeRun, u64)>> {
    let mut ran = HashSet::<String>::new();
    let mut select = connection.prepare("SELECT cascade FROM runs ORDER BY id DESC")?;
    let mut rows = select.query([])?;
    while ran.len() < limits.cascades
        && let Some(row) = rows.next()?
    {
        ran.insert(row.get(0)?);
    }
    ran.extend(
        conversations
            .iter()
            .map(|conversation| conversation.id.as_str().to_owned()),
    );
    let mut select = connection.prepare(
        "SELECT cascade, trajectory, model, outcome, started_at, duration_us, first_chunk_us, calls, tokens, cost_nano_usd, \
         ended, agent FROM (SELECT *, row_number() OVER (PARTITION BY cascade ORDER BY id DESC) AS place, \
         row_number() OVER (PARTITION BY cascade ORDER BY id) AS ended FROM runs \
         WHERE cascade IN (SELECT value FROM json_each(?2))) WHERE place <= ?1 ORDER BY id",
    )?;
    let runs = select.query_map(
        (places(limits.runs_of_a_cascade), json!(ran).to_string()),
        |row| Ok(run(row)?.zip(Some(count(row, 10)?))),
    )?;
    runs.filter_map(Result::transpose).collect()
}

/// `None` for a text that this version does not know.
fn run(row: &Row<'_>) -> rusqlite::Result<Option<CascadeRun>> {
    let labels = label(row, 3)?.zip(label(row, 11)?);
    let Some((cascade, (outcome, agent))) = id(row, 0)?.zip(labels) else {
        return Ok(None);
    };
    Ok(Some(CascadeRun {
        agent,
        cascade,
        trajectory: id(row, 1)?,
        model: Model::from_wire(row.get_ref(2)?.as_str()?),
        // The file does not say; it is of interest only to spans, which have been sent.
        has_several_models: false,
        outcome,
        started_at: UNIX_EPOCH + Duration::from_millis(count(row, 4)?),
        duration: Duration::from_micros(count(row, 5)?),
        time_to_first_chunk: maybe(row, 6)?.map(Duration::from_micros),
        calls: count(row, 7)?,
        tool_calls: None,
        tokens: count(row, 8)?,
        cost: maybe(row, 9)?.map(Cost::from_nano_usd),
        trace: None,
    }))
}

fn calls(connection: &Connection, limits: &Limits, models: &Models) -> rusqlite::Result<Vec<Call>> {
    let boot = Boot::last(connection)?;
    let mut select = connection.prepare(&format!(
        "{} ORDER BY ended_at DESC, id DESC LIMIT ?1",
        select_calls()
    ))?;
    let calls = select.query_map([places(limits.calls)], |row| call(row, boot, models))?;
    calls.filter_map(Result::transpose).collect()
}

/// The call of that id with its conversation, as far as that is known; `None` where no such call is
/// kept.
pub(in crate::ledger) fn find_call(
    connection: &Connection,
    call: CallId,
) -> rusqlite::Result<Option<(CallRecord, Option<Id>)>> {
    // No call ends before it begins: the bound on the end lets the index skip all earlier ones.
    let sql = format!(
        "{} WHERE ended_at >= ?1 AND started_at = ?1 AND id & 4294967295 = ?2",
        select_calls()
    );
    let number = i64::try_from(call.number()).unwrap_or(i64::MAX);
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query([call.started_ms(), number])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(record(row)?.zip(Some(id(row, 1)?)))
}

/// The columns that [`record`] reads.
fn select_calls() -> String {
    format!(
        "SELECT id, cascade, provider, operation, model, counted_as, served_model, outcome, status, quality, method, \
         started_at, duration_us, first_chunk_us, cost_nano_usd, trajectory, execution, step, request, cost_source, subagent, \
         parent_subagent, subagent_kind, session, program, repository, branch, rules, asked_model, {} FROM calls",
        *TOKENS
    )
}

/// `None` where the conversation is not known, and for a text that this version does not know.
fn call(row: &Row<'_>, boot: i64, models: &Models) -> rusqlite::Result<Option<Call>> {
    let Some((cascade, record)) = id(row, 1)?.zip(record(row)?) else {
        return Ok(None);
    };
    let number: i64 = row.get(0)?;
    let counted_as = row.get::<_, Option<String>>(5)?;
    let counted_as =
        counted_as.map_or_else(|| record.model.clone(), |text| Model::from_wire(&text));
    let served = Served {
        model: models.label(&counted_as),
        provider: record.provider,
    };
    Ok(Some(Call {
        number: number.wrapping_sub(boot << 32),
        cascade,
        served,
        record,
    }))
}

/// `None` for a text that this version does not know.
fn record(row: &Row<'_>) -> rusqlite::Result<Option<CallRecord>> {
    let labels = (
        label(row, 2)?,
        label(row, 3)?,
        label(row, 7)?,
        label(row, 9)?,
        label(row, 10)?,
    );
    let (Some(provider), Some(operation), Some(outcome), Some(quality), Some(method)) = labels
    else {
        return Ok(None);
    };
    let number = u64::try_from(row.get::<_, i64>(0)? & 0xffff_ffff).unwrap_or_default();
    let started_at = Timestamp::from_millisecond(row.get(11)?).unwrap_or_default();
    let seconds = |micros: u64| Duration::from_micros(micros).as_secs_f64();
    let tokens = tokens(row, 29)?;
    let rules = text(row, 27)?.and_then(|joined| AppliedRules::parse(joined, None));
    Ok(Some(CallRecord {
        id: CallId::new(started_at, number),
        number,
        started_at,
        duration_seconds: maybe(row, 12)?.map_or(0.0, seconds),
        time_to_first_chunk_seconds: maybe(row, 13)?.map(seconds),
        provider,
        operation,
        model: Model::from_wire(row.get_ref(4)?.as_str()?),
        rules: rules.map(|rules| rules.names).unwrap_or_default(),
        asked_model: text(row, 28)?.map(Model::from_wire),
        served_model: row
            .get::<_, Option<String>>(6)?
            .map(|text| Model::from_wire(&text)),
        // Calls of earlier processes are never moved to another conversation.
        substituted_by: None,
        outcome,
        status: row
            .get::<_, Option<i64>>(8)?
            .and_then(|status| u16::try_from(status).ok()),
        quality,
        tokens,
        total_tokens: tokens.total(),
        cost: maybe(row, 14)?.map(Cost::from_nano_usd),
        cost_source: row.get_ref(19)?.as_str_or_null()?.and_then(Label::parse),
        method,
        trajectory: id(row, 15)?,
        execution: id(row, 16)?,
        step: id(row, 17)?,
        request: id(row, 18)?,
        subagent: id(row, 20)?,
        parent_subagent: id(row, 21)?,
        subagent_kind: id(row, 22)?,
        caller: caller(row, 23)?,
    }))
}

fn tokens(row: &Row<'_>, column: usize) -> rusqlite::Result<TokenUsage> {
    let mut tokens = TokenUsage::default();
    for (place, kind) in TokenKind::ALL.iter().enumerate() {
        tokens[*kind] = maybe(row, column + place)?;
    }
    Ok(tokens)
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Option<&'a str>> {
    Ok(row.get_ref(column)?.as_str_or_null()?)
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Id>> {
    Ok(row
        .get_ref(column)?
        .as_str_or_null()?
        .and_then(Id::from_wire))
}

fn label<L: Label>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<L>> {
    Ok(L::parse(row.get_ref(column)?.as_str()?))
}

fn maybe(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row
        .get::<_, Option<i64>>(column)?
        .and_then(|number| u64::try_from(number).ok()))
}

fn places(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
