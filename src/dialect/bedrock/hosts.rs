//! The hosts of Amazon Bedrock, as they stand in the default of `intercept.hosts`.
//!
//! Every one is a whole name. A pattern such as `bedrock-runtime.*.amazonaws.com` would also let the
//! CA sign for everything below `amazonaws.com`, because a certificate's name constraints know
//! domains and no patterns.

/// The endpoint of Bedrock Runtime in each region that has one, and those for FIPS 140.
///
/// Sources: "Regional availability by endpoints" in the user guide of Amazon Bedrock
/// (docs.aws.amazon.com/bedrock/latest/userguide/endpoints-region-availability.html), and "Amazon
/// Bedrock endpoints and quotas" in the AWS General Reference
/// (docs.aws.amazon.com/general/latest/gr/bedrock.html).
pub(super) const HOSTS: &[&str] = &[
    "bedrock-runtime.af-south-1.amazonaws.com",
    "bedrock-runtime.ap-east-2.amazonaws.com",
    "bedrock-runtime.ap-northeast-1.amazonaws.com",
    "bedrock-runtime.ap-northeast-2.amazonaws.com",
    "bedrock-runtime.ap-northeast-3.amazonaws.com",
    "bedrock-runtime.ap-south-1.amazonaws.com",
    "bedrock-runtime.ap-south-2.amazonaws.com",
    "bedrock-runtime.ap-southeast-1.amazonaws.com",
    "bedrock-runtime.ap-southeast-2.amazonaws.com",
    "bedrock-runtime.ap-southeast-3.amazonaws.com",
    "bedrock-runtime.ap-southeast-4.amazonaws.com",
    "bedrock-runtime.ap-southeast-5.amazonaws.com",
    "bedrock-runtime.ap-southeast-6.amazonaws.com",
    "bedrock-runtime.ap-southeast-7.amazonaws.com",
    "bedrock-runtime.ca-central-1.amazonaws.com",
    "bedrock-runtime.ca-west-1.amazonaws.com",
    "bedrock-runtime.eu-central-1.amazonaws.com",
    "bedrock-runtime.eu-central-2.amazonaws.com",
    "bedrock-runtime.eu-north-1.amazonaws.com",
    "bedrock-runtime.eu-south-1.amazonaws.com",
    "bedrock-runtime.eu-south-2.amazonaws.com",
    "bedrock-runtime.eu-west-1.amazonaws.com",
    "bedrock-runtime.eu-west-2.amazonaws.com",
    "bedrock-runtime.eu-west-3.amazonaws.com",
    "bedrock-runtime.il-central-1.amazonaws.com",
    "bedrock-runtime.me-central-1.amazonaws.com",
    "bedrock-runtime.me-south-1.amazonaws.com",
    "bedrock-runtime.mx-central-1.amazonaws.com",
    "bedrock-runtime.sa-east-1.amazonaws.com",
    "bedrock-runtime.us-east-1.amazonaws.com",
    "bedrock-runtime.us-east-2.amazonaws.com",
    "bedrock-runtime.us-gov-east-1.amazonaws.com",
    "bedrock-runtime.us-gov-west-1.amazonaws.com",
    "bedrock-runtime.us-west-1.amazonaws.com",
    "bedrock-runtime.us-west-2.amazonaws.com",
    "bedrock-runtime-fips.ca-central-1.amazonaws.com",
    "bedrock-runtime-fips.us-east-1.amazonaws.com",
    "bedrock-runtime-fips.us-east-2.amazonaws.com",
    "bedrock-runtime-fips.us-gov-east-1.amazonaws.com",
    "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
    "bedrock-runtime-fips.us-west-1.amazonaws.com",
    "bedrock-runtime-fips.us-west-2.amazonaws.com",
];
