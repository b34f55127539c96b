//! The bytes of a revision: a plan's tables as the programs read them.

use super::{ColumnPlan, ColumnTable, ExpressionPlan, HookPlan, HookPoint, Plan, ShapePlan, Trie, Vector};
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{
    lictor_column, lictor_hook, lictor_lpm_key, lictor_lpm_value, lictor_number_key, lictor_revision,
    lictor_rule, lictor_shape, lictor_vector,
};
use std::collections::{BTreeMap, HashMap};

/// All tables of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    /// By hook slot, up to the greatest one in use.
    pub hooks: Vec<lictor_hook>,
    /// By vector number, the same for all hook points; vector 0 is empty.
    pub vectors: Vec<lictor_vector>,
    /// The data that columns point into.
    pub words: Vec<u64>,
    /// The rules of one hook point after the other.
    pub rules: Vec<lictor_rule>,
    /// The tries of all paths and texts.
    pub lpm: Vec<(lictor_lpm_key, lictor_lpm_value)>,
    /// Single numbers and process ids.
    pub numbers: Vec<(lictor_number_key, u64)>,
    /// Entries of the number table whose value is the hash of a path, which only whoever has the key can make: the
    /// column, the path, and the entry's value.
    pub paths: Vec<(u32, String, u64)>,
    /// `number` and `applied_boot_ns` are left to whoever makes the tables live.
    pub revision: lictor_revision,
}

/// Why a plan could not be laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A hook point of the plan has no slot or no shape number.
    #[error("hook point {0} has no slot or no shape number")]
    Unassigned(HookPoint),
    /// A slot is out of range, or has two hook points.
    #[error("slot {slot} of hook point {point} is taken or not below {}", wire::LICTOR_MAX_HOOKS)]
    Slot {
        /// The hook point.
        point: HookPoint,
        /// Its slot.
        slot: u16,
    },
    /// Not every policy of the plan has a counter.
    #[error("{given} counters for {policies} policies")]
    Counters {
        /// Number of counters.
        given: usize,
        /// Number of policies.
        policies: usize,
    },
}

/// Lays out a plan.
///
/// `slots` and `shapes` have the slot and the shape number (not 0) of each hook point, `counters` the counter of each
/// policy of the plan. More slots and shapes than the plan has hook points are no error.
pub fn layout(
    plan: &Plan,
    slots: &BTreeMap<HookPoint, u16>,
    shapes: &BTreeMap<HookPoint, u32>,
    counters: &[u32],
) -> Result<Tables, LayoutError> {
    if counters.len() != plan.policies.len() {
        return Err(LayoutError::Counters { given: counters.len(), policies: plan.policies.len() });
    }
    let mut writer = Writer::new(plan, counters);
    let mut taken = [false; wire::LICTOR_MAX_HOOKS as usize];
    for hook in &plan.hooks {
        let point = &hook.point;
        let unassigned = || LayoutError::Unassigned(point.clone());
        let slot = *slots.get(point).ok_or_else(unassigned)?;
        let shape_id = shapes.get(point).copied().filter(|id| *id != 0).ok_or_else(unassigned)?;
        match taken.get_mut(usize::from(slot)) {
            Some(taken) if !*taken => *taken = true,
            Some(_) | None => return Err(LayoutError::Slot { point: point.clone(), slot }),
        }
        writer.hook(hook, slot, shape_id);
    }
    writer.path_dictionary(plan);
    Ok(writer.tables)
}

/// The constants of a hook point's program.
pub fn shape(hook: &HookPlan, slot: u16, id: u32) -> lictor_shape {
    let none = wire::LICTOR_SOURCE_NONE as u8;
    let plan = &hook.shape;
    let mut shape = lictor_shape {
        id,
        hook_slot: slot,
        attach: hook.point.attach.wire(),
        flags: plan.flags,
        field_count: plan.fields.len() as u8,
        column_count: plan.columns.len() as u8,
        path_field: plan.path_field.unwrap_or(none),
        memo_field: plan.memo_field.unwrap_or(none),
        argument_count: plan.argument_count,
        memo_key: memo_key(plan, slot),
        ..lictor_shape::default()
    };
    for (to, from) in shape.fields.iter_mut().zip(&plan.fields) {
        *to = *from;
    }
    for (to, from) in shape.columns.iter_mut().zip(&plan.columns) {
        *to = *from;
    }
    shape
}

/// What a "no rule matched" of a program is valid for. Programs of other shapes understand it when they read the same.
fn memo_key(plan: &ShapePlan, slot: u16) -> u32 {
    let source = |field: Option<u8>| {
        let field = field.and_then(|field| plan.fields.get(usize::from(field)));
        field.map_or(wire::LICTOR_SOURCE_NONE as u8, |field| field.source)
    };
    let cgroup = plan
        .columns
        .iter()
        .any(|column| u32::from(column.source) == wire::lictor_column_source::LICTOR_FROM_CGROUP);
    let [slot_low, slot_high] = (slot | 1 << 15 | u16::from(cgroup) << 14).to_le_bytes();
    u32::from_le_bytes([source(plan.memo_field), source(plan.path_field), slot_low, slot_high])
}

/// Kernel memory that the tables take, bytes. An estimate: what an element costs besides its key and value was measured
/// for the trie and is counted for the hash table from its element and bucket headers.
pub fn memory_estimate(tables: &Tables) -> u64 {
    const TRIE_NODE: usize = 308;
    const HASH_ELEMENT: usize = 64 + size_of::<lictor_number_key>() + size_of::<u64>();
    let bytes = size_of_val(tables.hooks.as_slice())
        + size_of_val(tables.vectors.as_slice())
        + size_of_val(tables.words.as_slice())
        + size_of_val(tables.rules.as_slice())
        + tables.lpm.len() * TRIE_NODE
        + (tables.numbers.len() + tables.paths.len()) * HASH_ELEMENT
        + size_of::<lictor_revision>();
    bytes as u64
}

/// Tables on their way.
struct Writer<'a> {
    counters: &'a [u32],
    tables: Tables,
    vectors: HashMap<&'a Vector, u32>,
    /// Root states are given out first, so that they do not depend on how long the texts are.
    next_root: u32,
    next_state: u32,
    next_number_id: u32,
    /// By class: the slots that have nothing for it.
    prefix_empty: Vec<u64>,
    suffix_empty: Vec<u64>,
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan, counters: &'a [u32]) -> Self {
        let texts = plan.hooks.iter().flat_map(|hook| &hook.columns);
        let texts = texts.filter(|column| matches!(column.table, ColumnTable::Text(_))).count() as u32;
        let suffix = plan.paths.suffix_classes > 1;
        let revision = lictor_revision {
            prefix_classes: plan.paths.prefix_classes,
            suffix_classes: plan.paths.suffix_classes,
            flags: if suffix { wire::LICTOR_REVISION_HAS_SUFFIX } else { 0 },
            policy_count: plan.policies.len() as u32,
            digest: plan.digest,
            ..lictor_revision::default()
        };
        let empty = Vector::default();
        let mut writer = Self {
            counters,
            tables: Tables { revision, ..Tables::default() },
            vectors: HashMap::new(),
            next_root: wire::LICTOR_STATE_FIRST_FREE,
            next_state: wire::LICTOR_STATE_FIRST_FREE + texts,
            next_number_id: 1,
            prefix_empty: vec![0; plan.paths.prefix_classes as usize],
            suffix_empty: vec![0; plan.paths.suffix_classes as usize],
        };
        writer.tables.vectors.push(vector_bytes(&empty));
        writer
    }

    fn hook(&mut self, hook: &'a HookPlan, slot: u16, shape_id: u32) {
        let numbers: Vec<u32> = hook.vectors.iter().map(|vector| self.vector(vector)).collect();
        let global = |vector: u32| numbers.get(vector as usize).copied().unwrap_or(0);
        let mut bytes = lictor_hook {
            shape_id,
            rule_count: hook.rules.len() as u32,
            rule_base: self.tables.rules.len() as u32,
            all_vector: global(1),
            fallback_verdict: fallback_verdict(hook, None),
            ..lictor_hook::default()
        };
        for (to, plan) in bytes.columns.iter_mut().zip(&hook.columns) {
            to.default_vector = global(plan.default_vector);
            to.unresolved_vector = global(plan.unresolved_vector);
            self.column(to, &plan.table, &global);
        }
        self.mark_empty(hook, slot);
        self.rules(hook);
        let slot = usize::from(slot);
        if self.tables.hooks.len() <= slot {
            self.tables.hooks.resize(slot + 1, lictor_hook::default());
        }
        self.tables.hooks[slot] = bytes;
    }

    fn vector(&mut self, vector: &'a Vector) -> u32 {
        if vector.is_empty() {
            return 0;
        }
        let tables = &mut self.tables;
        *self.vectors.entry(vector).or_insert_with(|| {
            tables.vectors.push(vector_bytes(vector));
            tables.vectors.len() as u32 - 1
        })
    }

    fn column(&mut self, to: &mut lictor_column, table: &ColumnTable, global: &impl Fn(u32) -> u32) {
        let pair = |(positive, negative): (u32, u32)| {
            u64::from(global(positive)) | u64::from(global(negative)) << 32
        };
        match table {
            ColumnTable::Number { exact, intervals } => {
                to.base = self.tables.words.len() as u32;
                to.length = intervals.len() as u32;
                for (begin, vector) in intervals {
                    self.tables.words.extend([*begin, u64::from(global(*vector))]);
                }
                let values = exact.iter().map(|(value, vector)| (*value, u64::from(global(*vector))));
                to.number_id = self.numbers(values);
            }
            ColumnTable::Mask(bits) => {
                to.base = self.tables.words.len() as u32;
                let mut words = [0; 64];
                for (bit, vectors) in bits {
                    words[usize::from(*bit) % 64] = pair(*vectors);
                    to.mask |= 1 << (bit % 64);
                }
                self.tables.words.extend(words);
            }
            ColumnTable::Scope => {}
            ColumnTable::Ancestors(values) | ColumnTable::Notifications(values) => {
                let values = values.iter().map(|(value, vectors)| (*value, pair(*vectors)));
                to.number_id = self.numbers(values);
            }
            ColumnTable::Lineage(paths) => {
                to.number_id = self.number_column();
                let column = to.number_id;
                let entries = paths.iter().map(|(path, vectors)| (column, path.clone(), pair(*vectors)));
                self.tables.paths.extend(entries);
            }
            ColumnTable::PathClasses(classes) => {
                to.base = self.tables.words.len() as u32;
                to.length = classes.len() as u32;
                self.tables.words.extend(classes.iter().map(|vector| u64::from(global(*vector))));
            }
            ColumnTable::Text(trie) => {
                to.base = self.next_root;
                self.next_root += 1;
                self.trie(trie, to.base, global);
            }
            ColumnTable::Substring(automaton) => {
                to.base = self.tables.words.len() as u32;
                to.length = automaton.states.len() as u32;
                let states = automaton.states.iter();
                self.tables
                    .words
                    .extend(states.flat_map(|state| [u64::from(state.otherwise), pair(state.found)]));
                let edges = automaton.edges.iter().map(|((state, byte), next)| {
                    let found = automaton.states[*next as usize].found != (0, 0);
                    let key = u64::from(*state) << 8 | u64::from(*byte);
                    (key, u64::from(*next) | u64::from(found) << 32)
                });
                to.number_id = self.numbers(edges);
            }
            ColumnTable::Expression(expressions) => {
                to.base = self.tables.words.len() as u32;
                let framed = |one: &ExpressionPlan| one.framed(pair((one.wanted, one.unresolved)));
                self.tables.words.extend(expressions.iter().flat_map(framed));
                to.length = self.tables.words.len() as u32 - to.base;
            }
        }
    }

    /// Puts single values into the number table; the id of the column there, 0 when there are none.
    fn numbers(&mut self, values: impl ExactSizeIterator<Item = (u64, u64)>) -> u32 {
        if values.len() == 0 {
            return 0;
        }
        let column = self.number_column();
        self.tables
            .numbers
            .extend(values.map(|(value, answer)| (lictor_number_key { column, pad: 0, value }, answer)));
        column
    }

    /// The number of a further column in the number table.
    fn number_column(&mut self) -> u32 {
        let column = self.next_number_id;
        self.next_number_id += 1;
        column
    }

    /// Puts a trie's entries into the table; its states other than the root get numbers of their own.
    fn trie(&mut self, trie: &Trie, root: u32, class: impl Fn(u32) -> u32) {
        let base = self.next_state;
        // State 1 of the trie is the first after its root.
        let state_number = |state: u32| if state == 0 { root } else { base + state - 1 };
        self.next_state += trie.states.saturating_sub(1);
        self.tables.lpm.reserve(trie.entries.len());
        for ((state, bytes), entry) in &trie.entries {
            let mut key = lictor_lpm_key {
                prefix_length: 8 * (size_of::<u32>() + bytes.len()) as u32,
                state: state_number(*state),
                ..lictor_lpm_key::default()
            };
            for (to, from) in key.bytes.iter_mut().zip(bytes) {
                *to = *from;
            }
            let value = lictor_lpm_value {
                class_id: class(entry.class),
                next: if entry.next == 0 { 0 } else { state_number(entry.next) },
                length: bytes.len() as u32,
                extended: u32::from(entry.extended),
            };
            self.tables.lpm.push((key, value));
        }
    }

    /// Notes for which classes of its cached path the hook point has nothing.
    fn mark_empty(&mut self, hook: &HookPlan, slot: u16) {
        use wire::{lictor_column_kind as kind, lictor_column_source as from};
        if u32::from(slot) >= wire::LICTOR_EMPTY_HOOKS {
            return;
        }
        let Some(path_field) = hook.shape.path_field else {
            return;
        };
        for (shape, column) in hook.shape.columns.iter().zip(&hook.columns) {
            if u32::from(shape.source) != from::LICTOR_FROM_FIELD || shape.field != path_field {
                continue;
            }
            let ColumnTable::PathClasses(classes) = &column.table else {
                continue;
            };
            let suffix = u32::from(shape.kind) == kind::LICTOR_COLUMN_PATH_SUFFIX;
            let words = if suffix { &mut self.suffix_empty } else { &mut self.prefix_empty };
            for (word, _) in words.iter_mut().zip(classes).filter(|(_, vector)| **vector == 0) {
                *word |= 1 << slot;
            }
        }
    }

    fn rules(&mut self, hook: &HookPlan) {
        for rule in &hook.rules {
            let group = hook.groups.get(rule.group as usize);
            let assignments = self.tables.words.len() as u32;
            self.tables.words.extend(rule.assignments.iter().flatten());
            let counter = group.and_then(|group| self.counters.get(group.policy as usize));
            self.tables.rules.push(lictor_rule {
                group: rule.group,
                policy: counter.copied().unwrap_or(0),
                flags: rule.flags,
                verdict: rule.verdict,
                signal: rule.signal,
                limit_interval_ns: rule.limit_interval_ns,
                limit_scope: rule.limit_scope,
                limit_id: rule.limit_id,
                value: match (rule.notification, rule.assignments.is_empty()) {
                    (0, true) => u64::from(rule.set_value),
                    (0, false) => u64::from(assignments),
                    (number, _) => number,
                },
            });
        }
    }

    fn path_dictionary(&mut self, plan: &Plan) {
        self.trie(&plan.paths.prefixes, wire::LICTOR_STATE_PATH_PREFIX, |class| class);
        self.trie(&plan.paths.suffixes, wire::LICTOR_STATE_PATH_SUFFIX, |class| class);
        let words = &mut self.tables.words;
        self.tables.revision.prefix_empty_base = words.len() as u32;
        words.append(&mut self.prefix_empty);
        self.tables.revision.suffix_empty_base = words.len() as u32;
        words.append(&mut self.suffix_empty);
    }
}

/// The verdict on an event of which nothing can be read, but perhaps for the rules that hold for its workload.
pub(super) fn fallback_verdict(hook: &HookPlan, within: Option<&Vector>) -> i32 {
    let known = |column: &ColumnPlan| within.is_some() && matches!(column.table, ColumnTable::Scope);
    let vectors: Vec<&Vector> = hook
        .columns
        .iter()
        .filter(|column| !known(column))
        .filter_map(|column| hook.vectors.get(column.unresolved_vector as usize))
        .chain(within)
        .collect();
    let matching = |rule: &usize| vectors.iter().all(|vector| vector.contains(*rule));
    let mut last_group = None;
    for (_, rule) in (0..).zip(&hook.rules).filter(|(number, _)| matching(number)) {
        if last_group.replace(rule.group) == Some(rule.group) {
            continue;
        }
        if rule.flags & wire::LICTOR_RULE_DENY != 0 && rule.flags & wire::LICTOR_RULE_MONITOR == 0 {
            return i32::from(rule.verdict);
        }
    }
    0
}

pub(super) fn vector_bytes(vector: &Vector) -> lictor_vector {
    let mut bytes = lictor_vector::default();
    for (index, (to, from)) in bytes.words.iter_mut().zip(&vector.0).enumerate() {
        *to = *from;
        bytes.summary |= u64::from(*from != 0) << index;
    }
    bytes
}
