//! What users write: the policy language as types, one file per noun.
//!
//! The types say what a document may look like; whether it makes sense is decided by [`crate::validate()`]. Their
//! doc comments are the reference of the language: they become the schema's descriptions, which `kubectl explain` and
//! the messages about missing fields show.
//!
//! What belongs to the language but not to this version is named in the schema under [`LATER`]: fields of a structure,
//! names of an enumeration. Using one is refused as "not supported by this version", apart from a mere typo.

mod action;
mod argument;
mod decode;
mod document;
mod enforcer;
mod filter;
mod hook;
mod label_selector;
mod list;
mod option;
mod plain;
mod policy;
mod selector;
mod shape;

pub(crate) use action::{ASSIGNMENTS_MAX, DNS_LABEL_BYTES_MAX, DNS_NAME_BYTES_MAX, URL_BYTES_MAX};
pub use action::{ActionName, ActionSpec, RateLimitScopeName, SocketActionName};
pub(crate) use argument::LABEL_BYTES_MAX;
pub use argument::{ArgSpec, SourceName, TypeName};
pub(crate) use decode::{decode, decode_as};
pub use document::{ApiVersion, Kind, Metadata, TracingPolicy};
pub(crate) use enforcer::CALLS_MAX;
pub use enforcer::EnforcerSpec;
pub use filter::{
    BinaryFilter, BinaryOperator, CapabilityFilter, CapabilitySetName, ExpressionFilter, MembershipOperator,
    NamespaceChangeFilter, NamespaceFilter, NamespaceName, Operator, PidFilter, ValueFilter,
};
pub(crate) use hook::{
    ARGS_MAX, BINARY_BYTES_MAX, DIGESTS_MAX, MESSAGE_CHARS_MIN, PLACES_MAX, SYMBOL_BYTES_MAX, TAGS_MAX,
};
pub use hook::{IgnoreSpec, KprobeSpec, LsmHookSpec, TracepointSpec, UprobeIgnoreSpec, UprobeSpec, UsdtSpec};
pub use label_selector::{LabelOperator, LabelRequirement, LabelSelector};
pub use list::{ListKind, ListSpec, PATTERN_BYTES_MAX};
pub use option::OptionSpec;
pub use policy::{HostSelector, ModeName, OnUnresolvedName, PolicySpec};
pub use selector::{SelectorSpec, WorkloadFilter};
pub use shape::schema;
pub(crate) use shape::{Shape, ShapeKind, document as document_shape, of as shape_of};

/// Key of the schema under which a structure or an enumeration lists names that a later version will support.
pub const LATER: &str = "x-lictor-later";

/// Key in the schema of a text for which an integer may stand, as Kubernetes calls it.
pub const TEXT_OR_INTEGER: &str = "x-kubernetes-int-or-string";
