//! Hook points from the hooks that landed on them.

use super::asked::ColumnKey;
use super::columns::{self, Asking, test_keys};
use super::digest::digest;
use super::expression;
use super::fields::Field;
use super::place::{PlacedHook, PlacedRule};
use super::trie::Keys;
use super::vectors::VectorSet;
use super::{
    Attach, ColumnPlan, GroupPlan, HookPlan, HookPoint, PathDictionary, Plan, PlanPolicy, RulePlan, ShapePlan,
};
use crate::expression::Code;
use crate::model::Scope;
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{
    lictor_column_kind as kind, lictor_column_shape, lictor_column_source as from,
};
use std::collections::{BTreeMap, BTreeSet};

/// A hook of a policy that landed on a hook point.
#[derive(Debug)]
pub(super) struct Member {
    /// Index into [`Plan::policies`].
    pub(super) policy: u32,
    pub(super) hook: PlacedHook,
}

/// The dictionaries of all paths.
struct Paths<'a> {
    prefixes: Keys<'a>,
    suffixes: Keys<'a>,
}

/// The plan. Members of each hook point come in the order of the policies and their hooks.
pub(super) fn assemble(
    policies: Vec<PlanPolicy>,
    scopes: Vec<Scope>,
    points: &BTreeMap<HookPoint, Vec<Member>>,
) -> Plan {
    let dictionary = Paths {
        prefixes: path_keys(points, kind::LICTOR_COLUMN_PATH_PREFIX),
        suffixes: path_keys(points, kind::LICTOR_COLUMN_PATH_SUFFIX),
    };
    let class = |key: Option<usize>| key.map_or(0, |key| key as u32 + 1);
    let paths = PathDictionary {
        prefixes: dictionary.prefixes.trie(class, true),
        prefix_classes: dictionary.prefixes.len() as u32 + 1,
        suffixes: dictionary.suffixes.trie(class, false),
        suffix_classes: dictionary.suffixes.len() as u32 + 1,
    };
    let rules = points.values().flatten().flat_map(|member| &member.hook.rules);
    let tracks = rules.filter_map(|rule| rule.socket).any(|(_, track)| track);
    let hooks = points.iter().map(|(point, members)| hook_plan(point, members, &dictionary, tracks, &scopes));
    let hooks = hooks.collect();
    let mut plan = Plan { policies, scopes, hooks, paths, digest: [0; 32] };
    plan.digest = digest(&plan);
    plan
}

/// All keys of path columns of one kind.
fn path_keys(points: &BTreeMap<HookPoint, Vec<Member>>, kind: kind::Type) -> Keys<'_> {
    let rules = points.values().flatten().flat_map(|member| &member.hook.rules);
    let tests = rules.flat_map(|rule| &rule.tests).filter(|(column, _)| u32::from(column.kind) == kind);
    Keys::new(tests.flat_map(|(_, test)| test_keys(test)).collect())
}

/// `tracks`: some rule of the revision remembers who has sockets. `scopes`: those of the plan, in order.
fn hook_plan(
    point: &HookPoint,
    members: &[Member],
    paths: &Paths<'_>,
    tracks: bool,
    scopes: &[Scope],
) -> HookPlan {
    let fields: BTreeSet<Field> = members.iter().flat_map(|member| &member.hook.fields).copied().collect();
    let fields: Vec<Field> = fields.into_iter().collect();
    let keys: BTreeSet<ColumnKey> = members.iter().flat_map(|member| &member.hook.columns).copied().collect();
    let path_field = cached_path(point.attach, &keys);
    let mut keys: Vec<ColumnKey> = keys.into_iter().collect();
    keys.sort_by_key(|key| (cost(key, path_field), *key));
    let reasons: BTreeSet<&str> = members.iter().map(|member| member.hook.reason.as_str()).collect();
    let mut shape = shape_plan(members, &fields, &keys, path_field);
    if tracks && fields.iter().any(|field| field.has_socket()) {
        shape.flags |= wire::LICTOR_SHAPE_OWNERS as u8;
    }
    let rules = || members.iter().flat_map(|member| &member.hook.rules);
    let stacks = wire::LICTOR_RULE_KERNEL_STACK | wire::LICTOR_RULE_USER_STACK;
    let notify = wire::LICTOR_RULE_NOTIFY | wire::LICTOR_RULE_CONSUME | wire::LICTOR_RULE_CLEANUP;
    for (flags, used) in [
        (wire::LICTOR_SHAPE_NOTIFICATIONS, rules().any(|rule| rule.plan.flags & notify != 0)),
        (wire::LICTOR_SHAPE_STACKS, rules().any(|rule| rule.plan.flags & stacks != 0)),
        (wire::LICTOR_SHAPE_SET, rules().any(|rule| rule.set.is_some())),
        (wire::LICTOR_SHAPE_HASH, rules().any(|rule| rule.plan.flags & wire::LICTOR_RULE_HASH != 0)),
    ] {
        shape.flags |= if used { flags as u8 } else { 0 };
    }
    if fields.iter().any(|field| field.is_unix_address()) {
        shape.flags |= wire::LICTOR_SHAPE_UNIX as u8;
    }
    let rule_count = members.iter().map(|member| member.hook.rules.len()).sum();
    let mut vectors = VectorSet::new(rule_count);
    let columns = column_plans(point.attach, members, &keys, &fields, &mut vectors, paths);
    HookPlan {
        point: point.clone(),
        reason: reasons.into_iter().collect::<Vec<_>>().join("; "),
        shape,
        rules: (0..)
            .zip(members)
            .flat_map(|(group, member)| member.hook.rules.iter().map(move |rule| (group, rule)))
            .map(|(group, rule)| rule_plan(group, rule, &fields, scopes))
            .collect(),
        groups: members.iter().map(|member| group_plan(member, &fields)).collect(),
        vectors: vectors.into_vectors(),
        columns,
    }
}

fn rule_plan(group: u32, rule: &PlacedRule, fields: &[Field], scopes: &[Scope]) -> RulePlan {
    let scope = rule.scope.as_ref().and_then(|scope| scopes.binary_search(scope).ok());
    let scope = scope.map(|index| index as u32);
    let mut plan = RulePlan { group, scope, ..rule.plan.clone() };
    if let Some((field, track)) = rule.socket
        && let Some(index) = fields.iter().position(|one| *one == field)
    {
        let flag = if track { wire::LICTOR_RULE_TRACK } else { wire::LICTOR_RULE_UNTRACK };
        plan.flags |= flag | (index as u32) << wire::LICTOR_RULE_FIELD_SHIFT;
    }
    // Of a probe, which has no sockets among its arguments.
    if let Some(index) = rule.set.and_then(|field| fields.iter().position(|one| *one == field)) {
        plan.flags |= wire::LICTOR_RULE_SET | (index as u32) << wire::LICTOR_RULE_FIELD_SHIFT;
    }
    plan
}

/// The field whose path class programs remember: a `struct file *` argument that rules ask the path of.
fn cached_path(attach: Attach, columns: &BTreeSet<ColumnKey>) -> Option<Field> {
    match attach {
        Attach::Lsm | Attach::LsmHash | Attach::FmodRet | Attach::Fentry | Attach::Fexit | Attach::Kprobe => {
            let paths = columns.iter().filter(|column| u32::from(column.source) == from::LICTOR_FROM_FIELD);
            paths.filter_map(|column| column.field).find(|field| field.is_file_argument())
        }
        Attach::Tracepoint
        | Attach::RawTracepoint
        | Attach::Uprobe
        | Attach::Uretprobe
        | Attach::UretprobeArguments
        | Attach::UprobeRegisters => None,
    }
}

/// Columns in the order of what it costs to answer them.
fn cost(column: &ColumnKey, path_field: Option<Field>) -> u8 {
    if u32::from(column.source) == from::LICTOR_FROM_CGROUP {
        return 0;
    }
    match u32::from(column.kind) {
        // Beside each other: what the first one has read, the others of the same field need not.
        _ if is_endpoints(u32::from(column.source)) => 3,
        kind::LICTOR_COLUMN_NUMBER if u32::from(column.source) == from::LICTOR_FROM_FILE_TYPE => 3,
        kind::LICTOR_COLUMN_NUMBER => 1,
        kind::LICTOR_COLUMN_MASK | kind::LICTOR_COLUMN_NOTIFICATIONS => 2,
        kind::LICTOR_COLUMN_ANCESTORS | kind::LICTOR_COLUMN_LINEAGE => 3,
        kind::LICTOR_COLUMN_PATH_PREFIX | kind::LICTOR_COLUMN_PATH_SUFFIX => match column.field {
            Some(_) if column.field == path_field => 4,
            None => 5,
            Some(_) => 6,
        },
        // One after the other.
        kind::LICTOR_COLUMN_EXPRESSION => 7,
        // Read byte by byte, and a path has to be walked for it.
        kind::LICTOR_COLUMN_SUBSTRING | kind::LICTOR_COLUMN_SUBSTRING_ANY_CASE => 9,
        _ => 8,
    }
}

fn is_endpoints(source: from::Type) -> bool {
    (from::LICTOR_FROM_SOURCE_PORT..=from::LICTOR_FROM_DESTINATION_ADDRESS).contains(&source)
}

fn shape_plan(
    members: &[Member],
    fields: &[Field],
    columns: &[ColumnKey],
    path_field: Option<Field>,
) -> ShapePlan {
    let number = |field: Field| fields.binary_search(&field).ok().map(|index| index as u8);
    let mut flags = members.iter().fold(0, |flags, member| flags | member.hook.flags);
    let tests = members.iter().flat_map(|member| &member.hook.rules).flat_map(|rule| &rule.tests);
    let computed = tests.filter_map(|(_, test)| test.expression()).flat_map(Code::values).collect();
    let memo_field = memo(columns, path_field, &computed);
    if path_field.is_some() && memo_field.is_some() {
        flags |= wire::LICTOR_SHAPE_MEMO as u8;
    }
    ShapePlan {
        flags,
        argument_count: members.iter().map(|member| member.hook.argument_count).max().unwrap_or(0),
        fields: fields.iter().map(|field| field.wire()).collect(),
        columns: columns
            .iter()
            .map(|column| lictor_column_shape {
                kind: column.kind,
                source: column.source,
                field: column.field.and_then(number).unwrap_or(0),
                pad: 0,
            })
            .collect(),
        path_field: path_field.and_then(number),
        memo_field: path_field.and(memo_field).flatten().and_then(number),
    }
}

/// Whether a verdict depends on nothing but the cached path, the task and at most one number, and on which. `computed` is
/// what expressions read.
#[allow(clippy::option_option, reason = "not at all, on no number, on this number")]
fn memo(
    columns: &[ColumnKey],
    path_field: Option<Field>,
    computed: &BTreeSet<Field>,
) -> Option<Option<Field>> {
    // What the process runs and comes from changes with its exec id, which the memo has.
    let remembered = [
        from::LICTOR_FROM_BINARY,
        from::LICTOR_FROM_LINEAGE,
        from::LICTOR_FROM_CGROUP,
        from::LICTOR_FROM_FIELDS,
    ];
    let mut of_process = columns.iter().filter(|column| column.field.is_none());
    if !of_process.all(|column| remembered.contains(&u32::from(column.source))) {
        return None;
    }
    let mut number = None;
    let fields = columns.iter().filter_map(|column| column.field).chain(computed.iter().copied());
    for field in fields.filter(|field| Some(*field) != path_field) {
        if !field.is_number() || field.has_steps() || number.is_some_and(|known| known != field) {
            return None;
        }
        number = Some(field);
    }
    Some(number)
}

fn column_plans(
    attach: Attach,
    members: &[Member],
    keys: &[ColumnKey],
    fields: &[Field],
    vectors: &mut VectorSet,
    paths: &Paths<'_>,
) -> Vec<ColumnPlan> {
    let mut asking: BTreeMap<ColumnKey, Vec<Asking<'_>>> = BTreeMap::new();
    let rules = members.iter().flat_map(|member| &member.hook.rules);
    for (number, rule) in rules.enumerate() {
        for (column, test) in &rule.tests {
            let asking = asking.entry(*column).or_default();
            match asking.last_mut() {
                Some(last) if last.rule == number => last.tests.push(test),
                Some(_) | None => {
                    asking.push(Asking {
                        rule: number,
                        tests: vec![test],
                        match_unresolved: rule.match_unresolved,
                    });
                }
            }
        }
    }
    keys.iter()
        .map(|key| {
            let asking = asking.remove(key).unwrap_or_default();
            match u32::from(key.kind) {
                kind::LICTOR_COLUMN_NUMBER => columns::number(&asking, vectors),
                kind::LICTOR_COLUMN_MASK => columns::mask(&asking, vectors),
                kind::LICTOR_COLUMN_ANCESTORS => columns::ancestors(&asking, vectors),
                kind::LICTOR_COLUMN_NOTIFICATIONS => columns::notifications(&asking, vectors),
                kind::LICTOR_COLUMN_LINEAGE => columns::lineage(&asking, vectors),
                kind::LICTOR_COLUMN_SUBSTRING | kind::LICTOR_COLUMN_SUBSTRING_ANY_CASE => {
                    columns::substring(&asking, vectors)
                }
                kind::LICTOR_COLUMN_EXPRESSION => expression::column(&asking, vectors, fields, attach),
                kind::LICTOR_COLUMN_SCOPE => columns::scope(&asking, vectors),
                kind::LICTOR_COLUMN_PATH_PREFIX => columns::path(&asking, vectors, &paths.prefixes),
                kind::LICTOR_COLUMN_PATH_SUFFIX => columns::path(&asking, vectors, &paths.suffixes),
                _ => columns::text(&asking, vectors),
            }
        })
        .collect()
}

fn group_plan(member: &Member, fields: &[Field]) -> GroupPlan {
    let group = &member.hook.group;
    let numbered = |(field, arg): &(Option<Field>, super::ArgPlan)| super::ArgPlan {
        field: field.and_then(|field| fields.binary_search(&field).ok()).map(|index| index as u8),
        ..arg.clone()
    };
    GroupPlan {
        policy: member.policy,
        at: group.at.clone(),
        function_name: group.function_name.clone(),
        called: group.called.and_then(|field| fields.binary_search(&field).ok()).map(|index| index as u8),
        user: group.user.clone(),
        event: group.event,
        args: group.args.iter().map(numbered).collect(),
        data: group.data.iter().map(numbered).collect(),
        return_arg: group.return_arg.as_ref().map(numbered),
        message: group.message.clone(),
        tags: group.tags.clone(),
    }
}
