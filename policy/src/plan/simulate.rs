//! The kernel's engine in plain Rust: judges an event by the bytes of a revision's tables, the way the programs do.
//!
//! It is the middle between the oracle, which knows only policies, and the programs, which know only tables: a
//! difference between oracle and simulation is the compiler's, one between simulation and programs is the engine's.

pub(crate) mod expressions;

use super::layout::Tables;
use super::notifications::notification_numbers;
use crate::model::{
    CapabilitySet, EndpointsPart, Enforcement, Namespace, Origin, Policy, PolicyKey, Workload,
};
use crate::oracle::{Event, Notifications, Privileges, Process, ProcessId, Reading, Value};
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{
    lictor_column, lictor_column_kind as kind, lictor_column_shape, lictor_column_source as from,
    lictor_field_shape, lictor_hook, lictor_lpm_value, lictor_rule, lictor_scope, lictor_shape,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Tables, ready for looking things up.
#[derive(Debug)]
pub struct Machine<'a> {
    tables: &'a Tables,
    strings: HashMap<(u32, &'a [u8]), lictor_lpm_value>,
    /// Lengths of the keys of each state.
    lengths: HashMap<u32, BTreeSet<usize>>,
    numbers: HashMap<(u32, u64), u64>,
    scopes: BTreeMap<(u16, Workload), lictor_scope>,
    notifications: BTreeMap<(PolicyKey, Enforcement), u64>,
}

/// What the engine does about an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// 0 or a negative errno.
    pub verdict: i32,
    /// Signal to send; 0 = none.
    pub signal: u16,
    /// Rules that fired, by their numbers at the hook point.
    pub fired: Vec<u32>,
    /// Bit i: column i could not be read.
    pub unresolved: u32,
    /// What is left for the thread then.
    pub notifications: BTreeSet<u64>,
}

/// Class of a path in both dictionaries; `None` = unresolved.
type PathClasses = Option<(u32, u32)>;

type Words = [u64; wire::LICTOR_VECTOR_WORDS as usize];

impl<'a> Machine<'a> {
    /// A machine for these tables.
    pub fn new(tables: &'a Tables) -> Self {
        let mut strings = HashMap::new();
        let mut lengths: HashMap<u32, BTreeSet<usize>> = HashMap::new();
        for (key, value) in &tables.lpm {
            let length = key.prefix_length as usize / 8 - size_of::<u32>();
            strings.insert((key.state, &key.bytes[..length]), *value);
            lengths.entry(key.state).or_default().insert(length);
        }
        let numbers = tables.numbers.iter().map(|(key, value)| ((key.column, key.value), *value)).collect();
        let (scopes, notifications) = Default::default();
        Self { tables, strings, lengths, numbers, scopes, notifications }
    }

    /// The same machine with the numbers of what these policies leave for threads.
    #[must_use]
    pub fn with_notifications(mut self, policies: &[Policy]) -> Self {
        for policy in policies {
            let numbers = notification_numbers(policy).into_iter();
            self.notifications.extend(numbers.map(|(one, number)| ((policy.key().clone(), one), number)));
        }
        self
    }

    /// The same machine with what the scope tables hold, by hook slot and workload.
    #[must_use]
    pub fn with_scopes(self, scopes: BTreeMap<(u16, Workload), lictor_scope>) -> Self {
        Self { scopes, ..self }
    }

    /// Judges `event` as the program with the constants `shape` does. `argument` tells which value of the event a
    /// field stands for; it is not asked for return values. `None` = the program leaves without looking at any rule.
    pub fn judge(
        &self,
        shape: &lictor_shape,
        event: &Event,
        argument: impl Fn(&lictor_field_shape) -> Option<Origin>,
    ) -> Option<Outcome> {
        let hook = self.tables.hooks.get(usize::from(shape.hook_slot))?;
        if hook.shape_id != shape.id {
            return None;
        }
        let values: Vec<Option<&Value>> = shape.fields[..usize::from(shape.field_count)]
            .iter()
            .map(|field| match u32::from(field.source) {
                wire::LICTOR_SOURCE_RETURN => event.returned.as_ref(),
                _ => argument(field).and_then(|origin| event.args.get(&origin)),
            })
            .collect();
        if let Some(Some(value)) = values.get(usize::from(shape.path_field))
            && u32::from(shape.hook_slot) < wire::LICTOR_EMPTY_HOOKS
            && let Some(classes) = self.path_classes(&value.text)
            && self.empty_word(classes) >> shape.hook_slot & 1 == 1
        {
            return None;
        }
        let mut left = self.vector(hook.all_vector);
        let mut unresolved = 0;
        for column in 0..usize::from(shape.column_count) {
            match u32::from(shape.columns[column].kind) {
                kind::LICTOR_COLUMN_SCOPE => {
                    let scope = self.scopes.get(&(shape.hook_slot, event.process.workload.clone()));
                    let rest = hook.columns[column].default_vector;
                    and(&mut left, &scope.map_or_else(|| self.vector(rest), |scope| scope.rules.words));
                }
                kind::LICTOR_COLUMN_EXPRESSION => {
                    let bit =
                        u32::from(self.narrow_by_expressions(&mut left, &hook.columns[column], &values));
                    unresolved |= bit << column;
                }
                _ => self.narrow(&mut left, &mut unresolved, hook, shape, column, &values, &event.process),
            }
            if left.iter().all(|word| *word == 0) {
                return None;
            }
        }
        Some(Outcome { unresolved, ..self.act(hook, &left, self.numbers_of(&event.process.notifications)) })
    }

    /// The numbers of notifications.
    pub fn numbers_of(&self, notifications: &Notifications) -> BTreeSet<u64> {
        let of =
            |(key, one): (&PolicyKey, &Enforcement)| self.notifications.get(&(key.clone(), *one)).copied();
        notifications.iter().filter_map(of).collect()
    }

    /// The first rule of each group acts, on a thread for which `notifications` are left.
    fn act(&self, hook: &lictor_hook, left: &Words, notifications: BTreeSet<u64>) -> Outcome {
        let mut outcome = Outcome { notifications, ..Outcome::default() };
        let mut last_group = None;
        for number in 0..hook.rule_count {
            if left[number as usize / 64] >> (number % 64) & 1 == 0 {
                continue;
            }
            let rule = self.tables.rules[(hook.rule_base + number) as usize];
            if last_group == Some(rule.group) {
                continue;
            }
            last_group = Some(rule.group);
            outcome.fired.push(number);
            notify(&mut outcome.notifications, rule);
            if rule.flags & wire::LICTOR_RULE_MONITOR != 0 {
                continue;
            }
            if rule.flags & wire::LICTOR_RULE_DENY != 0 && outcome.verdict == 0 {
                outcome.verdict = i32::from(rule.verdict);
            }
            if rule.flags & wire::LICTOR_RULE_SIGNAL != 0 && (outcome.signal == 0 || rule.signal == 9) {
                outcome.signal = rule.signal;
            }
        }
        outcome
    }

    fn vector(&self, number: u32) -> Words {
        let vector = &self.tables.vectors[number as usize];
        for (word, bits) in vector.words.iter().enumerate() {
            assert_eq!(vector.summary >> word & 1 == 1, *bits != 0, "summary of vector {number}");
        }
        vector.words
    }

    fn empty_word(&self, (prefix, suffix): (u32, u32)) -> u64 {
        let revision = &self.tables.revision;
        assert!(prefix < revision.prefix_classes && suffix < revision.suffix_classes);
        self.tables.words[(revision.prefix_empty_base + prefix) as usize]
            | self.tables.words[(revision.suffix_empty_base + suffix) as usize]
    }

    #[allow(clippy::too_many_arguments, reason = "what the program keeps in its event")]
    fn narrow(
        &self,
        left: &mut Words,
        unresolved: &mut u32,
        hook: &lictor_hook,
        shape: &lictor_shape,
        index: usize,
        values: &[Option<&Value>],
        process: &Process,
    ) {
        let column = &hook.columns[index];
        let source = shape.columns[index];
        let field = &shape.fields[usize::from(source.field)];
        let value = values.get(usize::from(source.field)).copied().flatten();
        let spelled = endpoints_part(u32::from(source.source)).map(|part| spell(value, part));
        let reading = match u32::from(source.source) {
            _ if spelled.is_some() => spelled.as_ref(),
            from::LICTOR_FROM_FIELD => value.map(|value| &value.text),
            from::LICTOR_FROM_PARENT_BINARY => Some(&process.parent_binary),
            _ => Some(&process.binary),
        };
        let vector = match u32::from(source.kind) {
            kind::LICTOR_COLUMN_NUMBER => {
                let number = column_number(u32::from(source.source), field, value, process, true);
                number.map(|number| self.number_vector(column, number))
            }
            kind::LICTOR_COLUMN_MASK
            | kind::LICTOR_COLUMN_ANCESTORS
            | kind::LICTOR_COLUMN_LINEAGE
            | kind::LICTOR_COLUMN_NOTIFICATIONS
            | kind::LICTOR_COLUMN_SUBSTRING
            | kind::LICTOR_COLUMN_SUBSTRING_ANY_CASE => {
                if self.narrow_by_set(left, column, source, (field, value), process) {
                    *unresolved |= 1 << index;
                }
                return;
            }
            kind::LICTOR_COLUMN_PATH_PREFIX => reading
                .and_then(|reading| self.path_classes(reading))
                .map(|(prefix, _)| self.class_vector(column, prefix)),
            kind::LICTOR_COLUMN_PATH_SUFFIX => reading
                .and_then(|reading| self.path_classes(reading))
                .map(|(_, suffix)| self.class_vector(column, suffix)),
            kind::LICTOR_COLUMN_TEXT_PREFIX => reading.and_then(text).map(|text| {
                self.longest(column.base, &[text, &[0]].concat()).unwrap_or(column.default_vector)
            }),
            kind::LICTOR_COLUMN_TEXT_SUFFIX => reading
                .and_then(text)
                .map(|text| self.longest(column.base, &ending(text)).unwrap_or(column.default_vector)),
            other => unreachable!("column kind {other}"),
        };
        if vector.is_none() {
            *unresolved |= 1 << index;
        }
        and(left, &self.vector(vector.unwrap_or(column.unresolved_vector)));
    }

    /// By a column whose value is a set; whether not all of it is known.
    fn narrow_by_set(
        &self,
        left: &mut Words,
        column: &lictor_column,
        source: lictor_column_shape,
        (field, value): (&lictor_field_shape, Option<&Value>),
        process: &Process,
    ) -> bool {
        match u32::from(source.kind) {
            kind::LICTOR_COLUMN_MASK => {
                let number = column_number(u32::from(source.source), field, value, process, false);
                let Some(number) = number else {
                    and(left, &self.vector(column.unresolved_vector));
                    return true;
                };
                let bits = (0..64).filter(|bit| (number & column.mask) >> bit & 1 == 1);
                let words = bits.map(|bit| self.tables.words[column.base as usize + bit]);
                self.fold(left, column.default_vector, words);
                false
            }
            kind::LICTOR_COLUMN_ANCESTORS => {
                let own = u32::from(source.source) == from::LICTOR_FROM_NAMESPACE_PID;
                let id = |id: &ProcessId| u64::from(if own { id.own } else { id.global });
                let line = [&process.id].into_iter().chain(&process.ancestors);
                let elements = line
                    .take(wire::LICTOR_MAX_ANCESTORS as usize)
                    .filter_map(|one| self.numbers.get(&(column.number_id, id(one))).copied());
                self.fold(left, column.default_vector, elements);
                false
            }
            kind::LICTOR_COLUMN_NOTIFICATIONS => {
                let numbers = self.numbers_of(&process.notifications).into_iter();
                let elements =
                    numbers.filter_map(|number| self.numbers.get(&(column.number_id, number)).copied());
                self.fold(left, column.default_vector, elements);
                false
            }
            kind::LICTOR_COLUMN_SUBSTRING | kind::LICTOR_COLUMN_SUBSTRING_ANY_CASE => {
                let Some(text) = value.and_then(|value| text(&value.text)) else {
                    and(left, &self.vector(column.unresolved_vector));
                    return true;
                };
                let any_case = u32::from(source.kind) == kind::LICTOR_COLUMN_SUBSTRING_ANY_CASE;
                self.fold(left, column.default_vector, self.substrings(column, text, any_case).into_iter());
                false
            }
            _ => {
                let line = &process.lineage;
                let entries = self.tables.paths.iter().filter(|(number, path, _)| {
                    *number == column.number_id
                        && line.binaries.iter().any(|binary| binary == path.as_bytes())
                });
                let rest = if line.complete { column.default_vector } else { column.unresolved_vector };
                self.fold(left, rest, entries.map(|(_, _, vectors)| *vectors));
                !line.complete
            }
        }
    }

    /// By all expressions of a hook point; whether one that some rule still asks for could not be computed.
    fn narrow_by_expressions(
        &self,
        left: &mut Words,
        column: &lictor_column,
        values: &[Option<&Value>],
    ) -> bool {
        let words = &self.tables.words[column.base as usize..(column.base + column.length) as usize];
        let raw: Vec<u64> = values.iter().map(|value| value.map_or(0, |value| value.number)).collect();
        let unread = (0..).zip(values).filter(|(_, value)| value.is_none());
        let unread = unread.fold(0, |bits, (field, _)| bits | 1 << field);
        let mut unresolved = false;
        for found in expressions::run(words, &raw, unread) {
            let wanted = self.vector(found.vectors as u32);
            if left.iter().zip(&wanted).all(|(left, wanted)| left & wanted == 0) {
                continue;
            }
            let away = match found.holds {
                Some(true) => continue,
                Some(false) => wanted,
                None => {
                    unresolved = true;
                    self.vector((found.vectors >> 32) as u32)
                }
            };
            for (left, away) in left.iter_mut().zip(&away) {
                *left &= !away;
            }
        }
        unresolved
    }

    /// What a text has in it: the words of the states that it leads to.
    fn substrings(&self, column: &lictor_column, text: &[u8], any_case: bool) -> Vec<u64> {
        let word = |state: u32, place: u32| self.tables.words[(column.base + 2 * state + place) as usize];
        let (mut state, mut found) = (0, Vec::new());
        for byte in text {
            let byte = if any_case { byte.to_ascii_lowercase() } else { *byte };
            loop {
                assert!(state < column.length, "state {state} of {}", column.length);
                let key = u64::from(state) << 8 | u64::from(byte);
                if let Some(edge) = self.numbers.get(&(column.number_id, key)) {
                    state = *edge as u32;
                    found.extend((edge >> 32 != 0).then(|| word(state, 1)));
                    break;
                }
                if state == 0 {
                    break;
                }
                state = word(state, 0) as u32;
            }
        }
        found
    }

    /// left &= (rest | wanted) & ~unwanted
    fn fold(&self, left: &mut Words, rest: u32, elements: impl Iterator<Item = u64>) {
        let mut wanted = self.vector(rest);
        let mut unwanted = Words::from([0; wire::LICTOR_VECTOR_WORDS as usize]);
        for element in elements {
            let positive = self.vector(element as u32);
            let negative = self.vector((element >> 32) as u32);
            for word in 0..wanted.len() {
                wanted[word] |= positive[word];
                unwanted[word] |= negative[word];
            }
        }
        for word in 0..wanted.len() {
            left[word] &= wanted[word] & !unwanted[word];
        }
    }

    fn number_vector(&self, column: &lictor_column, number: u64) -> u32 {
        if column.number_id != 0
            && let Some(vector) = self.numbers.get(&(column.number_id, number))
        {
            return *vector as u32;
        }
        if column.length == 0 {
            return column.default_vector;
        }
        let word = |index: u32| self.tables.words[(column.base + index) as usize];
        let (mut low, mut high) = (0, column.length);
        assert_eq!(word(0), 0, "the first interval begins at 0");
        while low + 1 < high {
            let middle = u32::midpoint(low, high);
            if word(2 * middle) <= number {
                low = middle;
            } else {
                high = middle;
            }
        }
        word(2 * low + 1) as u32
    }

    fn class_vector(&self, column: &lictor_column, class: u32) -> u32 {
        assert!(class < column.length, "class {class} of {}", column.length);
        self.tables.words[(column.base + class) as usize] as u32
    }

    /// Both classes of a path. When no ending is asked for, the path's directory may answer alone.
    fn path_classes(&self, reading: &Reading) -> PathClasses {
        let path = text(reading)?;
        let with_nul = [path, &[0]].concat();
        let prefix = self.longest(wire::LICTOR_STATE_PATH_PREFIX, &with_nul).unwrap_or(0);
        let directory = path.iter().rposition(|byte| *byte == b'/').map(|slash| &path[..=slash]);
        if let Some(closed) = directory.and_then(|directory| self.closed_directory(directory)) {
            assert_eq!(closed, prefix, "class of {path:?} by its directory");
        }
        let suffix = self.longest(wire::LICTOR_STATE_PATH_SUFFIX, &ending(path)).unwrap_or(0);
        let has_suffix = self.tables.revision.flags & wire::LICTOR_REVISION_HAS_SUFFIX != 0;
        assert!(has_suffix || suffix == 0);
        Some((prefix, suffix))
    }

    /// The class of all that lies in `directory`, if its entry tells.
    fn closed_directory(&self, directory: &[u8]) -> Option<u32> {
        if directory.len() > wire::LICTOR_LPM_CHUNK as usize {
            return None;
        }
        match self.lookup(wire::LICTOR_STATE_PATH_PREFIX, directory) {
            None => Some(0),
            Some(found) if found.length as usize == directory.len() && found.extended != 0 => None,
            Some(found) if found.next != 0 => None,
            Some(found) => Some(found.class_id),
        }
    }

    /// Longest match of a trie, chained over chunks.
    fn longest(&self, root: u32, text: &[u8]) -> Option<u32> {
        let (mut state, mut class) = (root, None);
        for chunk in text.chunks(wire::LICTOR_LPM_CHUNK as usize) {
            let Some(found) = self.lookup(state, chunk) else {
                break;
            };
            class = Some(found.class_id);
            state = found.next;
            if state == 0 {
                break;
            }
        }
        class
    }

    fn lookup(&self, state: u32, bytes: &[u8]) -> Option<lictor_lpm_value> {
        let lengths = self.lengths.get(&state)?;
        let mut fitting = lengths.range(..=bytes.len()).rev();
        fitting.find_map(|length| self.strings.get(&(state, &bytes[..*length])).copied())
    }
}

/// The text of a reading up to its NUL; `None` = unresolved.
fn text(reading: &Reading) -> Option<&[u8]> {
    let text = match reading {
        Reading::Text(bytes) => bytes.split(|byte| *byte == 0).next().unwrap_or_default(),
        Reading::Absent => &[],
        Reading::Unresolved => return None,
    };
    (text.len() < wire::LICTOR_PATH_MAX as usize).then_some(text)
}

/// The last bytes, reversed.
fn ending(text: &[u8]) -> Vec<u8> {
    text.iter().rev().take(wire::LICTOR_SUFFIX_MAX as usize).copied().collect()
}

/// A register as a NUMBER or MASK column sees it.
fn field_number(field: &lictor_field_shape, raw: u64, flip: bool) -> u64 {
    let shift = 64 - 8 * u32::from(field.width);
    let signed = u32::from(field.flags) & wire::LICTOR_FIELD_SIGNED != 0;
    let value =
        if signed { ((raw << shift).cast_signed() >> shift).cast_unsigned() } else { raw << shift >> shift };
    if signed && flip { value ^ 1 << 63 } else { value }
}

/// What a NUMBER or MASK column looks up; `None` = unresolved.
fn column_number(
    source: from::Type,
    field: &lictor_field_shape,
    value: Option<&Value>,
    process: &Process,
    flip: bool,
) -> Option<u64> {
    match source {
        from::LICTOR_FROM_FIELD => value.map(|value| field_number(field, value.number, flip)),
        from::LICTOR_FROM_FILE_TYPE => value.map(|value| value.file_type.map_or(0, |kind| kind as u64)),
        other if endpoints_part(other).is_some() => {
            let part = endpoints_part(other)?;
            let value = value.filter(|value| value.text != Reading::Unresolved)?;
            Some(value.endpoints.number(part).map_or(wire::LICTOR_NO_NUMBER, u64::from))
        }
        from::LICTOR_FROM_NAMESPACE_CHANGES => {
            let then = process.beginning.as_ref()?;
            Some(changed_namespaces(&then.namespaces, &process.now.namespaces))
        }
        from::LICTOR_FROM_CAP_EFFECTIVE_CHANGES
        | from::LICTOR_FROM_CAP_PERMITTED_CHANGES
        | from::LICTOR_FROM_CAP_INHERITABLE_CHANGES => {
            let set = match source {
                from::LICTOR_FROM_CAP_EFFECTIVE_CHANGES => CapabilitySet::Effective,
                from::LICTOR_FROM_CAP_PERMITTED_CHANGES => CapabilitySet::Permitted,
                _ => CapabilitySet::Inheritable,
            };
            let of = |privileges: &Privileges| privileges.capabilities.get(&set).copied().unwrap_or(0);
            Some(of(process.beginning.as_ref()?) ^ of(&process.now))
        }
        other => Some(process_number(other, process)),
    }
}

/// The part of endpoints that a source reads; `None` = it reads something else.
fn endpoints_part(source: from::Type) -> Option<EndpointsPart> {
    Some(match source {
        from::LICTOR_FROM_SOURCE_ADDRESS => EndpointsPart::SourceAddress,
        from::LICTOR_FROM_DESTINATION_ADDRESS => EndpointsPart::DestinationAddress,
        from::LICTOR_FROM_SOURCE_PORT => EndpointsPart::SourcePort,
        from::LICTOR_FROM_DESTINATION_PORT => EndpointsPart::DestinationPort,
        from::LICTOR_FROM_PROTOCOL => EndpointsPart::Protocol,
        from::LICTOR_FROM_FAMILY => EndpointsPart::Family,
        from::LICTOR_FROM_STATE => EndpointsPart::State,
        _ => return None,
    })
}

/// An address as programs write it in front of a lookup.
fn spell(value: Option<&Value>, part: EndpointsPart) -> Reading {
    let Some(value) = value.filter(|value| value.text != Reading::Unresolved) else {
        return Reading::Unresolved;
    };
    let digits = |text: String, digit: u32| {
        text.bytes()
            .map(|byte| digit as u8 + (byte as char).to_digit(16).map_or(0, |value| value as u8))
            .collect()
    };
    match value.endpoints.address(part).map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => {
            Reading::Text(digits(format!("{:08x}", address.to_bits()), wire::LICTOR_DIGIT_IPV4))
        }
        Some(IpAddr::V6(address)) => {
            Reading::Text(digits(format!("{:032x}", address.to_bits()), wire::LICTOR_DIGIT_IPV6))
        }
        None => Reading::Absent,
    }
}

/// Bit n: the namespace number n of both is another one.
fn changed_namespaces(then: &BTreeMap<Namespace, u32>, now: &BTreeMap<Namespace, u32>) -> u64 {
    let changed = (0..).zip(Namespace::ALL).filter(|(_, namespace)| {
        let inode = |of: &BTreeMap<Namespace, u32>| of.get(namespace).copied().filter(|inode| *inode != 0);
        inode(then).zip(inode(now)).is_some_and(|(then, now)| then != now)
    });
    changed.fold(0, |bits, (bit, _)| bits | 1 << bit)
}

fn process_number(source: from::Type, process: &Process) -> u64 {
    let set = |set: CapabilitySet| process.now.capabilities.get(&set).copied().unwrap_or(0);
    let namespace =
        |namespace: Namespace| u64::from(process.now.namespaces.get(&namespace).copied().unwrap_or(0));
    match source {
        from::LICTOR_FROM_PID => u64::from(process.id.global),
        from::LICTOR_FROM_NAMESPACE_PID => u64::from(process.id.own),
        from::LICTOR_FROM_CAP_EFFECTIVE => set(CapabilitySet::Effective),
        from::LICTOR_FROM_CAP_PERMITTED => set(CapabilitySet::Permitted),
        from::LICTOR_FROM_CAP_INHERITABLE => set(CapabilitySet::Inheritable),
        from::LICTOR_FROM_NS_UTS => namespace(Namespace::Uts),
        from::LICTOR_FROM_NS_IPC => namespace(Namespace::Ipc),
        from::LICTOR_FROM_NS_MNT => namespace(Namespace::Mnt),
        from::LICTOR_FROM_NS_PID => namespace(Namespace::Pid),
        from::LICTOR_FROM_NS_PID_FOR_CHILDREN => namespace(Namespace::PidForChildren),
        from::LICTOR_FROM_NS_NET => namespace(Namespace::Net),
        from::LICTOR_FROM_NS_TIME => namespace(Namespace::Time),
        from::LICTOR_FROM_NS_TIME_FOR_CHILDREN => namespace(Namespace::TimeForChildren),
        from::LICTOR_FROM_NS_CGROUP => namespace(Namespace::Cgroup),
        from::LICTOR_FROM_NS_USER => namespace(Namespace::User),
        other => unreachable!("column source {other}"),
    }
}

/// What a rule that fires does with notifications.
fn notify(left: &mut BTreeSet<u64>, rule: lictor_rule) {
    let of_one_policy = |one: u64| (one ^ rule.value) >> wire::LICTOR_NOTIFICATION_BITS == 0;
    if rule.flags & wire::LICTOR_RULE_CONSUME != 0 {
        left.remove(&rule.value);
    }
    if rule.flags & (wire::LICTOR_RULE_CLEANUP | wire::LICTOR_RULE_NOTIFY) != 0 {
        left.retain(|one| !of_one_policy(*one));
    }
    if rule.flags & wire::LICTOR_RULE_NOTIFY != 0 && left.len() < wire::LICTOR_MAX_NOTIFICATIONS as usize {
        left.insert(rule.value);
    }
}

fn and(left: &mut Words, other: &Words) {
    for (word, bits) in left.iter_mut().zip(other) {
        *word &= bits;
    }
}
