//! Whether the model that answered is the one that was asked for under another name, or another
//! model.
//!
//! Providers answer with the exact name of what served a call: an alias comes back as what it stands
//! for, a family as its dated snapshot, a router as what it chose. Two names are of one model when
//! they are the same after everything is taken off that only says where, when, through whom and how
//! hard it runs.

use crate::record::{Model, Provider};

/// Whether `served` is another model than `asked`, by names alone.
///
/// Never on Azure, where a deployment is called whatever its owner likes.
pub(super) fn is_substitution(provider: Provider, asked: &Model, served: &Model) -> bool {
    let is_free_name = matches!(provider, Provider::AzureInference | Provider::AzureOpenAi);
    let is_known = *asked != Model::unknown();
    is_known && !is_free_name && !is_same(asked.as_str(), served.as_str())
}

fn is_same(asked: &str, served: &str) -> bool {
    if asked.eq_ignore_ascii_case(served) {
        return true;
    }
    if is_choice(asked) {
        return true;
    }
    let [asked, served] = [asked, served].map(Name::parse);
    asked.sorted() == served.sorted() || asked.is_family_of(&served)
}

/// Whether a name leaves the choice of a model to the provider.
fn is_choice(name: &str) -> bool {
    name.split(['/', '-', '.', '_', ':'])
        .any(|word| CHOICES.contains(&word))
}

/// A model's name without what does not tell models apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    words: Vec<String>,
    /// It stands for the newest of a family.
    is_latest: bool,
}

impl Name {
    fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let mut words: Vec<String> = essence(&lower)
            .split(['-', '.', '_'])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        let is_latest = words.iter().any(|word| word == "latest");
        let has_year = words.iter().any(|word| is_year(word));
        let efforts: &[&str] = EFFORTS
            .iter()
            .find(|(family, _)| words.first().is_some_and(|first| first == family))
            .map_or(&[], |(_, efforts)| *efforts);
        while words.len() > 1
            && words
                .last()
                .is_some_and(|word| is_release(word, has_year) || efforts.contains(&word.as_str()))
        {
            words.pop();
        }
        let alias = ALIASES
            .iter()
            .find(|(alias, _)| words.iter().eq(alias.split('-')));
        if let Some((_, model)) = alias {
            words = model.split('-').map(str::to_owned).collect();
        }
        Self { words, is_latest }
    }

    /// Its words in no order: the same model is `claude-opus-4.6` to Anthropic and
    /// `claude-4.6-opus` to OpenRouter.
    fn sorted(&self) -> Vec<&str> {
        let mut words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        words.sort_unstable();
        words
    }

    /// Whether it stands for the newest of a family that the other one belongs to
    /// (`gemini-flash-latest` for `gemini-2.5-flash`, `claude-opus-latest` for `claude-opus-5-5`):
    /// all of its words are in the other name, in order, and nothing but the number of a version
    /// follows the last of them.
    fn is_family_of(&self, member: &Self) -> bool {
        let mut words = member.words.iter();
        self.is_latest
            && self
                .words
                .iter()
                .all(|word| words.any(|other| other == word))
            && words.all(|word| is_number(word))
    }
}

/// The name without whom it is asked through (`openrouter/anthropic/`), where it runs
/// (`us.anthropic.`), and which version or variant of it does (`@20260101`, `-v1:0`, `:free`,
/// `[1m]`).
fn essence(name: &str) -> &str {
    let name = name.strip_prefix("ft:").unwrap_or(name);
    let name = name.rsplit('/').next().unwrap_or(name);
    let mut name = name.split(['@', ':', '[']).next().unwrap_or(name);
    while let Some((place, rest)) = name.split_once('.')
        && PLACES.contains(&place)
    {
        name = rest;
    }
    name
}

/// Whether the last word of a name says which release of a model it is: a date or a part of one
/// (`20260101`, `2026`, `0613`, and beside a year `09`), the number of a release (`001`, `v1`, and
/// the `0` of `claude-opus-4-0`), or that it is the newest or not a final one.
fn is_release(word: &str, has_year: bool) -> bool {
    let is_version = word.strip_prefix('v').is_some_and(is_number);
    let is_date = match word.len() {
        1 => word == "0",
        2 => has_year,
        3 => word.starts_with('0'),
        length => length <= DATE_DIGITS,
    };
    is_version || (is_number(word) && is_date) || RELEASES.contains(&word)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_year(word: &str) -> bool {
    word.len() == 4 && word.starts_with("20") && is_number(word)
}

/// Of `20260101`.
const DATE_DIGITS: usize = 8;

/// Words for releases.
const RELEASES: [&str; 6] = [
    "customtools",
    "exp",
    "experimental",
    "latest",
    "maas",
    "preview",
];

/// Words for how hard a model is to think, by the family whose names have them at their end.
const EFFORTS: [(&str, &[&str]); 3] = [
    ("claude", &["thinking"]),
    (
        "gemini",
        &["extra", "high", "low", "medium", "minimal", "thinking"],
    ),
    ("gpt", &["high", "low", "medium", "minimal", "xhigh"]),
];

/// Words of names that are no model's: of routers, and of what an editor asks for while somebody
/// types. The provider chooses.
const CHOICES: [&str; 4] = ["auto", "profile", "router", "tab"];

/// Where Bedrock runs a model, and who has made it.
const PLACES: [&str; 24] = [
    "ai21",
    "amazon",
    "anthropic",
    "apac",
    "au",
    "ca",
    "cohere",
    "deepseek",
    "eu",
    "global",
    "google",
    "jp",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "moonshotai",
    "nvidia",
    "openai",
    "qwen",
    "us",
    "us-gov",
    "writer",
    "zai",
];

/// Names of Antigravity that say nothing of the model they stand for.
const ALIASES: [(&str, &str); 2] = [
    ("gemini-3-flash-agent", "gemini-3-5-flash"),
    ("gemini-pro-agent", "gemini-3-1-pro"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_of_a_model_are_no_substitution() {
        for (asked, served) in [
            ("gpt-5.4", "gpt-5.4"),
            ("GPT-5.4", "gpt-5.4"),
            // Dated snapshots.
            ("gpt-5.4", "gpt-5.4-2026-08-01"),
            ("gpt-4", "gpt-4-0613"),
            ("claude-opus-4-1", "claude-opus-4-1-20250805"),
            ("claude-sonnet-4-0", "claude-sonnet-4-20250514"),
            ("claude-opus-4-6@20260101", "claude-opus-4-6"),
            ("mistral-large", "mistral-large-2411"),
            ("gemini-2.0-flash", "gemini-2.0-flash-001"),
            ("gemini-2.5-flash", "gemini-2.5-flash-preview-09-2025"),
            ("grok-4", "grok-4-0709"),
            // The newest of a family.
            ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
            ("gemini-flash-latest", "gemini-2.5-flash-preview-09-2025"),
            ("gemini-flash-lite-latest", "gemini-2.5-flash-lite"),
            ("mistral-large-latest", "mistral-large-2411"),
            ("mistral-medium-latest", "mistral-medium-3.5"),
            ("claude-opus-latest", "claude-opus-5-5-20261001"),
            ("grok-latest", "grok-4.7"),
            ("gpt-5-chat-latest", "gpt-5-chat-2025-08-07"),
            // Through a router or a cloud.
            ("anthropic/claude-opus-4.6", "claude-opus-4-6"),
            (
                "anthropic/claude-opus-4.6",
                "anthropic/claude-4.6-opus-20260205",
            ),
            ("moonshotai.kimi-k2.6", "kimi-k2.6"),
            ("tab_flash_lite_preview", "gemini-3-flash"),
            ("deepseek/deepseek-r1:free", "deepseek/deepseek-r1"),
            ("us.anthropic.claude-opus-4-6-v1:0", "claude-opus-4-6"),
            ("google/gemini-2.5-pro", "gemini-2.5-pro"),
            ("openrouter/auto", "anthropic/claude-haiku-4-5"),
            ("default-prompt-router/anthropic.claude", "claude-haiku-4-5"),
            // How hard it thinks, and how much it reads.
            ("gemini-3.1-pro-high", "gemini-3.1-pro"),
            ("gemini-3.5-flash-extra-low", "gemini-3.5-flash"),
            ("claude-opus-4-6-thinking", "claude-opus-4-6"),
            ("claude-opus-4-6[1m]", "claude-opus-4-6"),
            ("gpt-5.4-high", "gpt-5.4"),
            // Names of agents.
            ("gemini-pro-agent", "gemini-3.1-pro-preview"),
            ("gpt-oss-120b-medium", "gpt-oss-120b-maas"),
            ("ft:gpt-4o-mini:org::1", "ft:gpt-4o-mini-2024-07-18:org::1"),
        ] {
            assert!(is_same(asked, served), "{asked} -> {served}");
        }
    }

    #[test]
    fn other_models_are_substitutions() {
        for (asked, served) in [
            ("gpt-5.4", "gpt-5.4-mini"),
            ("gpt-5.4-codex", "gpt-5.2"),
            ("gpt-5.4-2026-08-01", "gpt-5.2-2025-12-11"),
            ("claude-opus-4-6", "claude-sonnet-4-6"),
            ("claude-opus-4-6", "claude-opus-4-5"),
            ("claude-opus-4-1", "claude-opus-4-20250514"),
            ("claude-opus-4-10", "claude-opus-4-1"),
            ("claude-opus-4-10", "claude-opus-4"),
            ("gemini-3.1-pro-high", "gemini-3.5-flash"),
            ("gemini-flash-latest", "gemini-2.5-flash-lite"),
            ("gemini-flash-latest", "gemini-2.5-pro"),
            ("claude-opus-latest", "claude-sonnet-5-5"),
            ("grok-latest", "grok-4-fast"),
            // Only the newest stands for a family.
            ("gemini-flash", "gemini-2.5-flash"),
            ("claude-opus", "claude-opus-5-5"),
            ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
            ("kimi-k2-thinking", "kimi-k2"),
            ("grok-4", "grok-4-fast"),
            ("anthropic/claude-opus-4.6", "openai/gpt-5.4"),
            ("us.anthropic.claude-opus-4-6-v1:0", "claude-haiku-4-5"),
        ] {
            assert!(!is_same(asked, served), "{asked} -> {served}");
        }
    }

    #[test]
    fn names_that_the_user_makes_up_are_not_judged() {
        let [asked, served] = ["my-deployment", "gpt-5.4"].map(Model::from_wire);
        assert!(is_substitution(Provider::OpenAi, &asked, &served));
        assert!(!is_substitution(Provider::AzureOpenAi, &asked, &served));
        assert!(!is_substitution(
            Provider::OpenAi,
            &Model::unknown(),
            &served
        ));
    }
}
