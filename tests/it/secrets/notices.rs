//! Exchanges that call no model, but tell of conversations, models and quotas: each with canaries
//! around what is read.

use gravimeter::demo::CLOUD_CODE_HOST;

use super::recordings::{Recording, error, gzipped, post, recording, sized};
use super::{MODEL, Nest};

const GZIP: &str = "Content-Encoding: gzip\r\n";

pub fn notices(nest: &mut Nest) -> Vec<Recording> {
    let mut exchanges = Vec::new();
    for (method, body) in [
        ("recordCodeAssistMetrics", metrics(nest)),
        ("recordTrajectoryAnalytics", analytics(nest)),
        ("recordTrajectoryAnalytics", broken(&analytics(nest))),
    ] {
        let answer = error(nest);
        exchanges.push((
            post(nest, &path(method), &body),
            sized(nest, "200 OK", "", answer.as_bytes()),
        ));
    }
    let asked = format!(r#"{{"project":"{}"}}"#, nest.text("project"));
    for (method, body) in [
        ("fetchAvailableModels", models(nest)),
        ("retrieveUserQuota", buckets(nest)),
        ("retrieveUserQuotaSummary", summary(nest)),
        ("retrieveUserQuotaSummary", broken(&summary(nest))),
        (
            "fetchAvailableModels",
            format!("<html>{}</html>", nest.text("page instead of models")),
        ),
    ] {
        let answer = sized(nest, "200 OK", GZIP, &gzipped(body.as_bytes()));
        exchanges.push((post(nest, &path(method), &asked), answer));
    }
    let refused = error(nest);
    let refused = sized(nest, "403 Forbidden", "", refused.as_bytes());
    exchanges.push((post(nest, &path("fetchAvailableModels"), &asked), refused));
    let of = |(request, response)| Recording {
        is_call: false,
        ..recording(CLOUD_CODE_HOST, request, response)
    };
    exchanges.into_iter().map(of).collect()
}

fn path(method: &str) -> String {
    format!("/v1internal:{method}")
}

/// With a comma where none may be, behind most of what is read.
fn broken(document: &str) -> String {
    format!("{},", document.trim_end_matches('}')) + "}"
}

fn metrics(nest: &mut Nest) -> String {
    let (trace, trajectory, citation) = (
        nest.id("told trace"),
        nest.uuid("told trajectory"),
        nest.text("citation"),
    );
    format!(
        r#"{{"project":"{citation}","metrics":[{{"conversationOffered":{{"citation":"{citation}","traceId":"{trace}",
        "trajectoryId":"{trajectory}","{citation}":{{"traceId":"{citation}"}}}},"traceId":"{citation}"}}]}}"#
    )
}

/// A whole trajectory.
fn analytics(nest: &mut Nest) -> String {
    let (cascade, trajectory, trace) = (
        nest.uuid("told cascade"),
        nest.uuid("told trajectory"),
        nest.id("told trace"),
    );
    let (prompt, answer, system) = (
        nest.text("told prompt"),
        nest.text("told answer"),
        nest.text("told system prompt"),
    );
    let (tool, error) = (nest.text("told tool call"), nest.text("told error"));
    let call = format!(
        r#"{{"chatModel":{{"systemPrompt":"{system}","messagePrompts":[{{"prompt":"{prompt}","traceId":"{prompt}"}}],
        "retryInfos":[{{"traceId":"{trace}","error":{{"message":"{error}"}}}},{{"sherlogLink":"{error}"}}]}}}}"#
    );
    let steps = format!(
        r#"[{{"userInput":{{"userResponse":"{prompt}"}}}},{{"plannerResponse":{{"response":"{answer}",
        "toolCalls":[{{"name":"{tool}","argumentsJson":"{{\"cascadeId\":\"{tool}\"}}"}}]}}}}]"#
    );
    format!(
        r#"{{"cascadeId":"{prompt}","trajectory":{{"cascadeId":"{cascade}","steps":{steps},"{tool}":"{tool}",
        "generatorMetadata":[{call},{call}],"trajectoryId":"{trajectory}","title":"{answer}"}}}}"#
    )
}

fn models(nest: &mut Nest) -> String {
    let (text, key) = (
        nest.text("description of a model"),
        nest.text("unknown key"),
    );
    format!(
        r#"{{"models":{{"{MODEL}":{{"displayName":"Canaries","description":"{text}","apiProvider":"{text}","{key}":"{key}",
        "quotaInfo":{{"remainingFraction":0.5,"resetTime":"{text}","account":"{text}"}}}},
        "{MODEL}-2":{{"quotaInfo":{{"remainingFraction":"{text}","resetTime":"2026-05-27T16:32:54Z"}}}}}},
        "agentModelSorts":[{{"displayName":"{text}"}}],"{key}":["{key}"]}}"#
    )
}

fn buckets(nest: &mut Nest) -> String {
    let text = nest.text("account of a quota");
    format!(
        r#"{{"buckets":[{{"modelId":"{MODEL}","tokenType":"{text}","remainingAmount":"{text}","remainingFraction":0.4,
        "resetTime":"{text}"}}],"account":"{text}"}}"#
    )
}

fn summary(nest: &mut Nest) -> String {
    let text = nest.text("description of a quota");
    format!(
        r#"{{"description":"{text}","groups":[{{"displayName":"{text}","description":"{text}","buckets":[
        {{"bucketId":"gemini-5h","displayName":"{text}","description":"{text}","window":"{text}","remainingFraction":0.3,
        "resetTime":"{text}"}}]}}]}}"#
    )
}
