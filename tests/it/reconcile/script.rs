//! The script: which exchanges there are, and what each of them is counted as.

use serde_json::Value;

use super::books::{Call, Tokens};
use super::dice::Dice;
use super::{anthropic, bedrock, chat, coding, gemini, ollama, responses};

/// One kind of request with its answers.
pub struct Form {
    pub host: &'static str,
    pub path: &'static str,
    pub provider: &'static str,
    pub model: &'static str,
    pub operation: &'static str,
    pub request: fn(&mut Dice, &str) -> Value,
    pub answer: fn(&mut Dice, &str) -> Answer,
    /// The answers of a provider that refuses.
    pub refusals: &'static [Refusal],
    /// Whether its answers come in content codings, too.
    pub may_be_coded: bool,
}

/// A refusal: its status and its document, and what the call ends as.
pub type Refusal = (u16, &'static str, &'static str);

/// Every form, by dialect.
pub fn forms() -> Vec<&'static Form> {
    [
        anthropic::FORMS,
        chat::FORMS,
        responses::FORMS,
        gemini::FORMS,
        bedrock::FORMS,
        ollama::FORMS,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An answer of a provider that does not refuse.
pub struct Answer {
    pub media_type: &'static str,
    pub fields: Vec<(&'static str, String)>,
    /// What the head says already.
    pub head: Known,
    /// The body, in parts that a reader takes as wholes.
    pub parts: Vec<Part>,
    pub shape: Shape,
}

/// What shows that nothing of an answer is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One document, which says nothing before it is whole.
    Document,
    /// Parts, of which one says that it is the last.
    LastWord,
    /// Parts, until the message ends.
    MessageEnd,
}

/// A part of a body, and all that a reader knows once it has seen it.
pub struct Part {
    pub bytes: Vec<u8>,
    pub known: Known,
}

/// What is known of an answer so far.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// `None` while no figure has been seen.
    pub tokens: Option<Tokens>,
    /// The tokens of other models that took part.
    pub others: Vec<(&'static str, Tokens)>,
    /// In nano-dollars.
    pub charge: Option<u64>,
    /// It was the last word.
    pub is_over: bool,
    /// The total contradicts the parts.
    pub contradicts: bool,
    /// What an error inside of the answer makes of it.
    pub error: Option<&'static str>,
}

impl Known {
    pub fn of(tokens: Tokens) -> Self {
        Self {
            tokens: Some(tokens),
            ..Self::default()
        }
    }
}

/// Collects the parts of an answer; what is known after one of them stays known after the next.
#[derive(Default)]
pub struct Parts {
    parts: Vec<Part>,
    pub known: Known,
}

impl Parts {
    pub fn push(&mut self, bytes: impl Into<Vec<u8>>) {
        let (bytes, known) = (bytes.into(), self.known.clone());
        self.parts.push(Part { bytes, known });
    }

    /// An event of a stream of events, with a name or without.
    pub fn event(&mut self, name: Option<&str>, data: &Value) {
        let name = name.map_or(String::new(), |name| format!("event: {name}\n"));
        self.push(format!("{name}data: {data}\n\n"));
    }

    pub fn finish(self, media_type: &'static str, shape: Shape) -> Answer {
        Answer {
            media_type,
            fields: Vec::new(),
            head: Known::default(),
            parts: self.parts,
            shape,
        }
    }
}

/// An answer in one document.
pub fn document(data: &Value, known: Known) -> Answer {
    Answer {
        media_type: "application/json",
        fields: Vec::new(),
        head: Known::default(),
        parts: vec![Part {
            bytes: data.to_string().into_bytes(),
            known,
        }],
        shape: Shape::Document,
    }
}

/// How an exchange ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Whole,
    /// The provider breaks off.
    ProviderBreaks,
    /// The agent goes away.
    AgentLeaves,
}

/// Which HTTP carries an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Http {
    One,
    Two,
}

/// One exchange, ready to be sent.
pub struct Exchange {
    pub host: &'static str,
    pub path: &'static str,
    pub http: Http,
    pub request_coding: Option<&'static str>,
    pub request: Vec<u8>,
    pub status: u16,
    pub fields: Vec<(&'static str, String)>,
    /// The body as it is on the wire, up to where it breaks off.
    pub response: Vec<u8>,
    /// The sizes of the pieces in which it is sent, over and over.
    pub pieces: Vec<usize>,
    pub ending: Ending,
    /// What it must be counted as.
    pub calls: Vec<Call>,
}

impl Exchange {
    /// A whole answer without any failure, by which a model becomes known.
    pub fn first(form: &Form, http: Http, dice: &mut Dice) -> Self {
        let answer = loop {
            let answer = (form.answer)(dice, form.model);
            let last = answer.parts.last().expect("a part");
            if last.known.error.is_none() && last.known.tokens.is_some() {
                break answer;
            }
        };
        Self::answered(form, http, answer, Ending::Whole, dice)
    }

    /// Any exchange.
    pub fn any(form: &Form, http: Http, dice: &mut Dice) -> Self {
        if dice.chance(6) {
            let refusal = dice.of(form.refusals);
            return Self::refused(form, http, refusal, dice);
        }
        let answer = (form.answer)(dice, form.model);
        let ending = match dice.below(100) {
            0..4 => Ending::ProviderBreaks,
            4..7 => Ending::AgentLeaves,
            _ => Ending::Whole,
        };
        Self::answered(form, http, answer, ending, dice)
    }

    fn refused(form: &Form, http: Http, refusal: &Refusal, dice: &mut Dice) -> Self {
        let &(status, body, outcome) = refusal;
        let call = Call {
            provider: form.provider,
            model: form.model,
            operation: form.operation,
            outcome,
            quality: "exact",
            tokens: Tokens::default(),
            charge: None,
            contradicts: false,
        };
        let fields = vec![("content-type", "application/json".to_owned())];
        let body = body.as_bytes().to_vec();
        Self::new(
            form,
            http,
            (status, fields, body),
            Ending::Whole,
            vec![call],
            dice,
        )
    }

    fn answered(form: &Form, http: Http, answer: Answer, ending: Ending, dice: &mut Dice) -> Self {
        let (shown, known) = shown(&answer, ending, dice);
        let calls = calls(form, http, &answer, &known, ending);
        let coding = (form.may_be_coded && dice.chance(60)).then(|| *dice.of(&coding::ALL));
        let is_whole = ending == Ending::Whole;
        let body = coding::encode(coding, &shown, is_whole, dice);
        let mut fields = answer.fields;
        fields.push(("content-type", answer.media_type.to_owned()));
        fields.extend(coding.map(|coding| ("content-encoding", coding.to_owned())));
        Self::new(form, http, (200, fields, body), ending, calls, dice)
    }

    fn new(
        form: &Form,
        http: Http,
        (status, fields, response): (u16, Vec<(&'static str, String)>, Vec<u8>),
        ending: Ending,
        calls: Vec<Call>,
        dice: &mut Dice,
    ) -> Self {
        let request = (form.request)(dice, form.model).to_string();
        let request_coding = dice.chance(20).then(|| *dice.of(&["gzip", "zstd"]));
        let most = 1 + dice.below(response.len().min(1500));
        Self {
            host: form.host,
            path: form.path,
            http,
            request_coding,
            request: coding::encode(request_coding, request.as_bytes(), true, dice),
            status,
            fields,
            response,
            pieces: (0..4).map(|_| 1 + dice.below(most)).collect(),
            ending,
            calls,
        }
    }
}

/// What of the body is sent before it breaks off, if it does, and what is known from that.
fn shown(answer: &Answer, ending: Ending, dice: &mut Dice) -> (Vec<u8>, Known) {
    let parts = &answer.parts;
    let join =
        |parts: &[Part]| -> Vec<u8> { parts.iter().flat_map(|part| part.bytes.clone()).collect() };
    let known = |count: usize| match count.checked_sub(1) {
        None => answer.head.clone(),
        Some(last) => parts[last].known.clone(),
    };
    if ending == Ending::Whole {
        return (join(parts), known(parts.len()));
    }
    // An agent that leaves behind the last part has missed nothing.
    let may_see_all = ending == Ending::ProviderBreaks && answer.shape != Shape::Document;
    let count = dice.below(parts.len() + usize::from(may_see_all));
    let mut bytes = join(&parts[..count]);
    // What is cut off within its first half says nothing.
    if let Some(next) = parts.get(count) {
        bytes.extend(&next.bytes[..dice.below(next.bytes.len() / 2 + 1)]);
    }
    (bytes, known(count))
}

/// What an exchange that ends so is counted as: one call of each model.
fn calls(form: &Form, http: Http, answer: &Answer, known: &Known, ending: Ending) -> Vec<Call> {
    let is_over = known.is_over || (ending == Ending::Whole && answer.shape != Shape::LastWord);
    let outcome = match (known.error, ending, http) {
        (Some(error), ..) => error,
        _ if is_over => "ok",
        (None, Ending::AgentLeaves, _) => "aborted",
        (None, Ending::ProviderBreaks, Http::Two) => "stream_error",
        (None, Ending::ProviderBreaks, Http::One) | (None, Ending::Whole, _) => "truncated",
    };
    let is_final = is_over && known.error.is_none() && !known.contradicts;
    let quality = match known.tokens {
        None => "unknown",
        Some(_) if is_final => "exact",
        Some(_) => "partial",
    };
    let call = Call {
        provider: form.provider,
        model: form.model,
        operation: form.operation,
        outcome,
        quality,
        tokens: known.tokens.unwrap_or_default(),
        charge: known.charge,
        contradicts: known.contradicts,
    };
    let other = |&(model, tokens): &(&'static str, Tokens)| Call {
        model,
        tokens,
        ..call.clone()
    };
    let others = known.others.iter().map(other);
    others.chain([call.clone()]).collect()
}
