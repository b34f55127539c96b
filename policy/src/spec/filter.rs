//! Filters of a selector.

use super::shape::TextOrInteger;
use crate::expression::EXPRESSION_BYTES_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A filter on a value that was read at the hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueFilter {
    /// Which value: the `index` of one of the hook's `args`. Under `matchData`: its place in the hook's `data`, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<i64>,
    /// Which value: its place in the hook's `args`, from 0, as a list of one. Instead of `index`. With `CelExpr`, those
    /// that the expression may name, without it all; with `CapabilitiesGained` the two sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<i64>,
    /// How the value is compared.
    pub operator: Operator,
    /// What it is compared with. Several: any one of them for `Equal`, `Prefix` and the like, none of them for their
    /// `Not` forms. With `CelExpr`, the one expression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<TextOrInteger>")]
    pub values: Vec<String>,
}

/// A condition over values that were read at the hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpressionFilter {
    /// The condition, in a part of CEL over integers: `arg0` is the first of the hook's `args`, `data0` the first of its
    /// `data`: `arg0 == data0 || arg1 < 10`. At most 1,024 bytes.
    #[schemars(length(max = EXPRESSION_BYTES_MAX))]
    pub expr: String,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// Numbers and text: is one of the values.
    Equal,
    /// Numbers and text: is none of the values.
    NotEqual,
    /// Text: begins with one of the values.
    Prefix,
    /// Text: begins with none of the values.
    NotPrefix,
    /// Text: ends with one of the values.
    Postfix,
    /// Text: ends with none of the values.
    NotPostfix,
    /// Text: has one of the values in it, anywhere.
    SubString,
    /// The same, taking the letters A to Z for a to z.
    SubStringIgnCase,
    /// Numbers: is greater than one of the values.
    GreaterThan,
    /// The same as `GreaterThan`.
    #[serde(rename = "GT")]
    Gt,
    /// Numbers: is less than one of the values.
    LessThan,
    /// The same as `LessThan`.
    #[serde(rename = "LT")]
    Lt,
    /// Numbers: is within one of the ranges `low:high`, both ends included.
    InRange,
    /// Numbers: is within none of the ranges.
    NotInRange,
    /// Numbers: has a bit of one of the values.
    Mask,
    /// Numbers: is one of the values, each a number, a range `low:high`, or `list:NAME`.
    InMap,
    /// Numbers: is none of the values, each a number, a range `low:high`, or `list:NAME`.
    NotInMap,
    /// Numbers, one or several: the expression holds, in a part of CEL, in which `arg0` is the first of the hook's `args`:
    /// `arg0 != arg1 && arg2 < 10`.
    CelExpr,
    /// Two sets of capabilities (`kernel_cap_t` and the like), by their places in `args`: the second one has a capability that
    /// the first one lacks. With values (`CAP_SYS_ADMIN`) one of these.
    CapabilitiesGained,
    /// Files: is of one of these kinds: `reg` (or `regular`), `dir`, `lnk` (`link`), `fifo` (`pipe`), `sock` (`socket`),
    /// `chr` (`char`), `blk` (`block`).
    FileType,
    /// Files: is of none of these kinds.
    NotFileType,
    /// Sockets, packets, socket addresses: the source address is one of these, or within one of these networks: `10.0.0.1`,
    /// `10.0.0.0/8`, `2001:db8::/32`.
    SAddr,
    /// Sockets, packets, socket addresses: the source address is none of these and in none of these networks.
    NotSAddr,
    /// Sockets, packets: the destination address is one of these, or within one of these networks.
    DAddr,
    /// Sockets, packets: the destination address is none of these and in none of these networks.
    NotDAddr,
    /// Sockets, packets, socket addresses: the source port is one of these, each a number or a range `low:high`.
    SPort,
    /// Sockets, packets, socket addresses: the source port is none of these.
    NotSPort,
    /// Sockets, packets, socket addresses: the source port is below 1024. Without values.
    SPortPriv,
    /// Sockets, packets, socket addresses: the source port is not below 1024. Without values.
    NotSPortPriv,
    /// The same as `NotSPortPriv`.
    NotSportPriv,
    /// Sockets, packets: the destination port is one of these, each a number or a range `low:high`.
    DPort,
    /// Sockets, packets: the destination port is none of these.
    NotDPort,
    /// Sockets, packets: the destination port is below 1024. Without values.
    DPortPriv,
    /// Sockets, packets: the destination port is not below 1024. Without values.
    NotDPortPriv,
    /// Sockets, packets: the protocol is one of these, by name (`IPPROTO_TCP`) or number.
    Protocol,
    /// Sockets, packets, socket addresses: the address family is one of these, by name (`AF_INET`) or number.
    Family,
    /// Sockets: the state is one of these, by name (`TCP_ESTABLISHED`) or number.
    State,
}

/// A filter on the path of the program that the process runs; for scripts that is the interpreter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BinaryFilter {
    /// How the path is compared.
    pub operator: BinaryOperator,
    /// Paths, or beginnings or ends of paths.
    pub values: Vec<String>,
    /// With `In` and `NotIn`: a process counts as running what it has run before, and what any process that it descends
    /// from has run, whether or not that one is still there. Not of parents.
    #[serde(default)]
    pub follow_children: bool,
}

/// How the path of a program is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BinaryOperator {
    /// Is one of the values.
    In,
    /// Is none of the values.
    NotIn,
    /// Begins with one of the values.
    Prefix,
    /// Begins with none of the values.
    NotPrefix,
    /// Ends with one of the values.
    Postfix,
    /// Ends with none of the values.
    NotPostfix,
}

/// Whether something is one of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MembershipOperator {
    /// Is one of them.
    In,
    /// Is none of them.
    NotIn,
}

/// A filter on the process id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PidFilter {
    /// Whether the id has to be one of the values.
    pub operator: MembershipOperator,
    /// Process ids.
    pub values: Vec<u32>,
    /// The ids are those that the process itself sees, in its PID namespace.
    #[serde(default, rename = "isNamespacePID")]
    pub is_namespace_pid: bool,
    /// A process counts as listed when one of its ancestors is.
    #[serde(default)]
    pub follow_forks: bool,
}

/// A filter on a namespace of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceFilter {
    /// Kind of namespace.
    pub namespace: NamespaceName,
    /// Whether the namespace has to be one of the values.
    pub operator: MembershipOperator,
    /// Numbers of namespaces, as `readlink /proc/PID/ns/TYPE` shows them, or `host_ns`: that of the node itself.
    #[schemars(with = "Vec<TextOrInteger>")]
    pub values: Vec<String>,
}

/// A filter on the namespaces that are others than when the process began what it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceChangeFilter {
    /// `In`: at least one of the values has changed. `NotIn`: one has changed that is not among the values.
    pub operator: MembershipOperator,
    /// Kinds of namespaces.
    pub values: Vec<NamespaceName>,
}

/// Kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespaceName {
    /// Host name.
    Uts,
    /// System V IPC and message queues.
    Ipc,
    /// Mounts.
    Mnt,
    /// Process ids.
    Pid,
    /// Process ids of children still to come.
    PidForChildren,
    /// Network.
    Net,
    /// Clocks.
    Time,
    /// Clocks of children still to come.
    TimeForChildren,
    /// Control groups.
    Cgroup,
    /// User ids and capabilities.
    User,
}

/// A filter on the capabilities of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapabilityFilter {
    /// Which set: `Effective` is what the process can do now.
    #[serde(rename = "type", default)]
    pub set: CapabilitySetName,
    /// `In`: has at least one of the values. `NotIn`: has none of them. Of changes: one of the values has been gained or
    /// lost; none of them, but another one.
    pub operator: MembershipOperator,
    /// Only processes in a user namespace other than the node's own.
    #[serde(default)]
    pub is_namespace_capability: bool,
    /// Capabilities: `CAP_SYS_ADMIN`.
    pub values: Vec<String>,
}

/// A capability set of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CapabilitySetName {
    /// What the process can do now.
    #[default]
    Effective,
    /// What it may pass to programs it runs.
    Inheritable,
    /// What it may take into the effective set.
    Permitted,
}
