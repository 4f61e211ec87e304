//! Who answers at a host, for the wire formats that many providers share.

use crate::record::{Host, Provider};

/// Whose models answer at this host; `None` for a host that is not known, such as a gateway of the
/// user's own. Google's hosts belong to its own dialect.
pub(super) fn provider_of(host: &Host) -> Option<Provider> {
    let host = host.as_str();
    let exact = EXACT.iter().find(|(name, _)| *name == host);
    let below = || {
        BELOW.iter().find(|(domain, _)| {
            host.strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
        })
    };
    if let Some((_, provider)) = exact.or_else(below) {
        return Some(*provider);
    }
    let service = host.split('.').next().unwrap_or_default();
    let is_on_aws = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    match service {
        "bedrock-runtime" | "bedrock-runtime-fips" if is_on_aws => Some(Provider::Bedrock),
        "bedrock-mantle" if host.ends_with(".api.aws") => Some(Provider::Bedrock),
        "aws-external-anthropic" if host.ends_with(".api.aws") => Some(Provider::Anthropic),
        "copilot-api" => Some(Provider::Copilot),
        _ => None,
    }
}

/// Hosts by their whole names.
const EXACT: [(&str, Provider); 26] = [
    ("ae.api.openai.com", Provider::OpenAi),
    ("api.anthropic.com", Provider::Anthropic),
    ("api.business.githubcopilot.com", Provider::Copilot),
    ("api.deepseek.com", Provider::DeepSeek),
    ("api.enterprise.githubcopilot.com", Provider::Copilot),
    ("api.githubcopilot.com", Provider::Copilot),
    ("api.groq.com", Provider::Groq),
    ("api.individual.githubcopilot.com", Provider::Copilot),
    ("api.mistral.ai", Provider::Mistral),
    ("api.moonshot.ai", Provider::Moonshot),
    ("api.moonshot.cn", Provider::Moonshot),
    ("api.openai.com", Provider::OpenAi),
    ("api.x.ai", Provider::XAi),
    ("api.z.ai", Provider::ZAi),
    ("au.api.openai.com", Provider::OpenAi),
    ("chatgpt.com", Provider::OpenAi),
    ("codestral.mistral.ai", Provider::Mistral),
    ("eu.api.openai.com", Provider::OpenAi),
    ("gov.api.openai.com", Provider::OpenAi),
    ("gov.chatgpt.com", Provider::OpenAi),
    ("in.api.openai.com", Provider::OpenAi),
    ("jp.api.openai.com", Provider::OpenAi),
    ("open.bigmodel.cn", Provider::ZAi),
    ("openrouter.ai", Provider::OpenRouter),
    ("us.api.openai.com", Provider::OpenAi),
    ("claude.googleapis.com", Provider::VertexAi),
];

/// Domains below which each customer has a host.
const BELOW: [(&str, Provider); 3] = [
    ("cognitiveservices.azure.com", Provider::AzureOpenAi),
    ("openai.azure.com", Provider::AzureOpenAi),
    ("services.ai.azure.com", Provider::AzureOpenAi),
];
