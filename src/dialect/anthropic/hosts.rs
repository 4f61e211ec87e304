//! The hosts of Anthropic's own API, as they stand in the default of `intercept.hosts`. Every one is
//! a whole name, for the reason that those of Bedrock are.

/// Anthropic itself, on Google Cloud, and on AWS in each region of Bedrock: a region that does not
/// have it costs nothing.
///
/// Source: anthropics/anthropic-sdk-python `src/anthropic/lib/aws` and `lib/google_cloud`.
pub(super) const HOSTS: &[&str] = &[
    "api.anthropic.com",
    "claude.googleapis.com",
    "aws-external-anthropic.af-south-1.api.aws",
    "aws-external-anthropic.ap-east-2.api.aws",
    "aws-external-anthropic.ap-northeast-1.api.aws",
    "aws-external-anthropic.ap-northeast-2.api.aws",
    "aws-external-anthropic.ap-northeast-3.api.aws",
    "aws-external-anthropic.ap-south-1.api.aws",
    "aws-external-anthropic.ap-south-2.api.aws",
    "aws-external-anthropic.ap-southeast-1.api.aws",
    "aws-external-anthropic.ap-southeast-2.api.aws",
    "aws-external-anthropic.ap-southeast-3.api.aws",
    "aws-external-anthropic.ap-southeast-4.api.aws",
    "aws-external-anthropic.ap-southeast-5.api.aws",
    "aws-external-anthropic.ap-southeast-6.api.aws",
    "aws-external-anthropic.ap-southeast-7.api.aws",
    "aws-external-anthropic.ca-central-1.api.aws",
    "aws-external-anthropic.ca-west-1.api.aws",
    "aws-external-anthropic.eu-central-1.api.aws",
    "aws-external-anthropic.eu-central-2.api.aws",
    "aws-external-anthropic.eu-north-1.api.aws",
    "aws-external-anthropic.eu-south-1.api.aws",
    "aws-external-anthropic.eu-south-2.api.aws",
    "aws-external-anthropic.eu-west-1.api.aws",
    "aws-external-anthropic.eu-west-2.api.aws",
    "aws-external-anthropic.eu-west-3.api.aws",
    "aws-external-anthropic.il-central-1.api.aws",
    "aws-external-anthropic.me-central-1.api.aws",
    "aws-external-anthropic.me-south-1.api.aws",
    "aws-external-anthropic.mx-central-1.api.aws",
    "aws-external-anthropic.sa-east-1.api.aws",
    "aws-external-anthropic.us-east-1.api.aws",
    "aws-external-anthropic.us-east-2.api.aws",
    "aws-external-anthropic.us-gov-east-1.api.aws",
    "aws-external-anthropic.us-gov-west-1.api.aws",
    "aws-external-anthropic.us-west-1.api.aws",
    "aws-external-anthropic.us-west-2.api.aws",
];
