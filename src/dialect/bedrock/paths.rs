//! `/model/{id}/{method}`: which model is asked for what.

use percent_encoding::percent_decode_str;

use crate::record::Model;

/// What can be asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Converse,
    ConverseStream,
    CountTokens,
    Invoke,
    InvokeStream,
}

/// The model and the method of a path, with any prefix before it. `None`: it is no call.
pub(super) fn parse(path: &str) -> Option<(Model, Method)> {
    let (_, resource) = path.split_once("/model/")?;
    let (id, method) = resource.rsplit_once('/')?;
    let method = match method {
        "converse" => Method::Converse,
        "converse-stream" => Method::ConverseStream,
        "count-tokens" => Method::CountTokens,
        "invoke" => Method::Invoke,
        "invoke-with-response-stream" => Method::InvokeStream,
        _ => return None,
    };
    let id = percent_decode_str(id).decode_utf8_lossy();
    Some((model(&id)?, method))
}

/// The model that an id or an ARN names. An ARN holds the number of an account, so only what stands
/// behind its last `/` is the name.
pub(super) fn model(id: &str) -> Option<Model> {
    let name = if id.starts_with("arn:") {
        let name = id.rsplit('/').next().filter(|name| *name != id);
        name.or_else(|| id.rsplit(':').next())
    } else {
        Some(id).filter(|id| !id.contains('/'))
    };
    name.filter(|name| !name.is_empty()).map(Model::from_wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_model_and_method() {
        let nova = "amazon.nova-pro-v1:0";
        for (path, expected) in [
            (
                "/model/amazon.nova-pro-v1:0/converse",
                Some((nova, Method::Converse)),
            ),
            (
                "/model/amazon.nova-pro-v1%3A0/invoke",
                Some((nova, Method::Invoke)),
            ),
            (
                "/bedrock/model/amazon.nova-pro-v1%3a0/converse-stream",
                Some((nova, Method::ConverseStream)),
            ),
            (
                "/model/arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0/count-tokens",
                Some(("us.amazon.nova-pro-v1:0", Method::CountTokens)),
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aprompt%2FP1%3A2/invoke-with-response-stream",
                Some(("P1:2", Method::InvokeStream)),
            ),
            (
                "/model/arn%3Aaws%3A123456789012%3Aname/invoke",
                Some(("name", Method::Invoke)),
            ),
            (
                "/model/arn:aws:bedrock:r:123456789012:provisioned-model//invoke",
                None,
            ),
            ("/model//invoke", None),
            ("/model/invoke", None),
            ("/model/a/b/invoke", None),
            ("/model/a/invoke/", None),
            ("/model/a/async-invoke", None),
            ("/async-invoke", None),
            ("/guardrail/g/version/1/apply", None),
        ] {
            let read = parse(path);
            let read = read
                .as_ref()
                .map(|(model, method)| (model.as_str(), *method));
            assert_eq!(read, expected, "{path}");
        }
    }
}
