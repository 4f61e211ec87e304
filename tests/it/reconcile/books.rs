//! What the script says that every call is, and the sums of it: kept by the test alone, from the
//! documented meaning of each provider's figures.

use std::collections::BTreeMap;
use std::ops::AddAssign;

/// Tokens by kind; the kinds never overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub cache_read: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
    pub tool_input: u64,
    pub output: u64,
    pub thinking: u64,
}

impl Tokens {
    pub fn cache_write(&self) -> u64 {
        self.cache_write_5m + self.cache_write_1h
    }

    /// All that the provider has read.
    pub fn all_input(&self) -> u64 {
        self.input + self.cache_read + self.cache_write() + self.tool_input
    }

    /// All that the model has written.
    pub fn all_output(&self) -> u64 {
        self.output + self.thinking
    }

    pub fn total(&self) -> u64 {
        self.all_input() + self.all_output()
    }

    /// The kinds by their public names.
    pub fn kinds(&self) -> [(&'static str, u64); 6] {
        [
            ("input", self.input),
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write()),
            ("tool_input", self.tool_input),
            ("output", self.output),
            ("thinking", self.thinking),
        ]
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, more: Self) {
        self.input += more.input;
        self.cache_read += more.cache_read;
        self.cache_write_5m += more.cache_write_5m;
        self.cache_write_1h += more.cache_write_1h;
        self.tool_input += more.tool_input;
        self.output += more.output;
        self.thinking += more.thinking;
    }
}

/// A call as it must be counted.
#[derive(Debug, Clone)]
pub struct Call {
    pub provider: &'static str,
    pub model: &'static str,
    pub operation: &'static str,
    pub outcome: &'static str,
    pub quality: &'static str,
    pub tokens: Tokens,
    /// What the provider says it charges, in nano-dollars.
    pub charge: Option<u64>,
    /// The provider's total contradicts its parts.
    pub contradicts: bool,
}

/// The sums of all calls of one model at one provider.
#[derive(Debug, Default)]
pub struct Account {
    pub calls: u64,
    pub tokens: Tokens,
    /// Calls by operation and outcome.
    pub ends: BTreeMap<(&'static str, &'static str), u64>,
    /// Calls by how far their tokens can be trusted.
    pub qualities: BTreeMap<&'static str, u64>,
    /// What the provider charges, in nano-dollars.
    pub charges: u64,
    /// What the tokens of all other calls cost at list prices, in nano-dollars.
    pub list: u64,
    /// Calls with tokens and without a price.
    pub unpriced: u64,
}

/// The sums by provider and model.
#[derive(Debug, Default)]
pub struct Books {
    pub accounts: BTreeMap<(&'static str, &'static str), Account>,
    /// Answers whose total contradicts its parts.
    pub contradictions: u64,
}

impl Books {
    pub fn of<'a>(calls: impl Iterator<Item = &'a Call>) -> Self {
        let mut books = Self::default();
        calls.for_each(|call| books.add(call));
        books
    }

    fn add(&mut self, call: &Call) {
        self.contradictions += u64::from(call.contradicts);
        let key = (call.provider, call.model);
        let account = self.accounts.entry(key).or_default();
        account.calls += 1;
        account.tokens += call.tokens;
        *account
            .ends
            .entry((call.operation, call.outcome))
            .or_default() += 1;
        *account.qualities.entry(call.quality).or_default() += 1;
        match (call.charge, price(call.model)) {
            (Some(charge), _) => account.charges += charge,
            (None, Some(price)) => account.list += price.of(&call.tokens),
            (None, None) => account.unpriced += u64::from(call.tokens.total() > 0),
        }
    }

    /// The sum of one figure over all accounts.
    pub fn sum(&self, figure: impl Fn(&Account) -> u64) -> u64 {
        self.accounts.values().map(figure).sum()
    }

    pub fn tokens(&self) -> Tokens {
        let mut all = Tokens::default();
        self.accounts
            .values()
            .for_each(|account| all += account.tokens);
        all
    }
}

/// Nano-dollars per token of each kind, which are thousandths of a dollar per million. Every one is
/// another prime, so that no kind can stand for another.
#[derive(Debug, Clone, Copy)]
pub struct Price {
    input: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    tool_input: u64,
    output: u64,
    thinking: u64,
}

impl Price {
    fn of(&self, tokens: &Tokens) -> u64 {
        tokens.input * self.input
            + tokens.cache_read * self.cache_read
            + tokens.cache_write_5m * self.cache_write_5m
            + tokens.cache_write_1h * self.cache_write_1h
            + tokens.tool_input * self.tool_input
            + tokens.output * self.output
            + tokens.thinking * self.thinking
    }
}

/// Every second model has a price, of which the larger ones are multiples.
fn price(model: &str) -> Option<Price> {
    let at = u64::try_from(PRICED.iter().position(|priced| *priced == model)?).ok()? + 1;
    Some(Price {
        input: 2003 * at,
        cache_read: 199 * at,
        cache_write_5m: 2503 * at,
        cache_write_1h: 4001 * at,
        tool_input: 1009 * at,
        output: 12_007 * at,
        thinking: 13_001 * at,
    })
}

/// The models with a price.
const PRICED: [&str; 9] = [
    "script-advisor",
    "script-claude",
    "script-converse",
    "script-gemini",
    "script-gpt",
    "script-grok",
    "script-invoke",
    "script-responses",
    "script-router",
];

/// The table of these prices, as a user writes it.
pub fn price_table() -> String {
    let dollars = |thousandths: u64| format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    let block = |model: &&str| {
        let price = price(model).expect("a priced model");
        let kinds = [
            ("input", price.input),
            ("cache_read", price.cache_read),
            ("cache_write", price.cache_write_5m),
            ("cache_write_1h", price.cache_write_1h),
            ("tool_input", price.tool_input),
            ("output", price.output),
            ("thinking", price.thinking),
        ];
        let prices: String = kinds
            .map(|(kind, price)| format!("{kind} = {}\n", dollars(price)))
            .concat();
        let source = "source = \"https://example.com\"\nas_of = 2026-11-24\n";
        format!("[[price]]\nmodels = [\"{model}\"]\n{prices}{source}")
    };
    PRICED.iter().map(block).collect()
}
