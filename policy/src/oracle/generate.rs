//! Policies and events made up from a seed, for comparing one judge with another.
//!
//! The values of both come from the same small stock, so that most filters are met sometimes: paths that begin with
//! one another, texts around the chunk length of the kernel's trie, integers at the ends of their types.

mod endpoints;
mod expressions;
mod members;
mod notifications;
mod places;
mod workloads;

pub use members::of_task;
pub use notifications::notifications;
pub use places::places;
pub use workloads::workloads;

use super::{
    Endpoints, Event, Lineage, Moment, Notifications, Privileges, Process, ProcessId, Reading, Value,
};
use crate::model::{
    Actions, Arg, ArgKind, BinaryOf, BinaryTest, CapabilitySet, CapabilityTest, FieldPath, FileType,
    FileTypeTest, Hook, HookTarget, IntField, IntKind, Mode, Namespace, NamespaceChangeTest, NamespaceTest,
    NamespaceValue, NodeSelector, NumberTest, OnUnresolved, Origin, PidTest, Policy, PolicyKey, Predicate,
    RateLimit, RateLimitScope, Rule, ShownAction, Stacks, TextMatch, TextTest, ValueTest, WorkloadTest,
};
use crate::plan::testing::HOST_NAMESPACE;
use crate::plan::{TypeClass, automatic_kind};
use crate::spec::ARGS_MAX;
use std::collections::BTreeMap;

/// Numbers from a seed: the same seed gives the same numbers on every machine, for ever.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number of the sequence (the generator is called splitmix64).
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// True in so many of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `all`, which is not empty.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A place that policies hook: what can be read there.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name.
    pub target: HookTarget,
    /// Types of its arguments.
    pub arguments: Vec<TypeClass>,
    /// Type of what it returns, if that can be hooked.
    pub returns: Option<TypeClass>,
    /// An answer can make the operation fail.
    pub denies: bool,
    /// What lies behind its arguments and can be read there, and data.
    pub members: Vec<(Origin, TypeClass)>,
}

impl Place {
    fn class(&self, arg: &Arg) -> &TypeClass {
        let member = self.members.iter().find(|(origin, _)| *origin == arg.origin());
        member.map_or_else(|| &self.arguments[usize::from(arg.index)], |(_, class)| class)
    }
}

fn int(width: u8, signed: bool) -> TypeClass {
    TypeClass::Integer { width, signed }
}

fn pointer(name: &str) -> TypeClass {
    TypeClass::StructPointer(name.to_owned())
}

/// Policies for `places`. Some may ask for more than one hook point offers, and be refused for that.
pub fn policies(seed: u64, places: &[Place]) -> Vec<Policy> {
    let mut random = Random::new(seed);
    let mut maker = Maker {
        // A few places, so that policies meet.
        places: (0..=random.below(3)).map(|_| random.below(places.len())).collect(),
        kind_seed: random.number(),
        filters: (0..3).map(|_| random.below(FILTERS)).collect(),
        within: random.pick(&[TextMatch::Equal, TextMatch::Substring, TextMatch::SubstringAnyCase]),
        random,
    };
    let count = 1 + maker.random.below(5);
    let mut policies: Vec<Policy> = (0..count).map(|number| maker.policy(number, places)).collect();
    for last in (1..policies.len()).rev() {
        policies.swap(last, maker.random.below(last + 1));
    }
    policies
}

/// Filters on the process: binary, four on process ids, namespaces, three on capability sets.
const FILTERS: usize = 9;

/// Names of functions that end processes; their numbers are what matters.
const SIGNALS: [u8; 3] = [9, 9, 15];

struct Maker {
    random: Random,
    places: Vec<usize>,
    /// Arguments are mostly read in the same way by all policies, or no hook point would have room for them.
    kind_seed: u64,
    filters: Vec<usize>,
    /// How these policies search within texts: each way takes columns of its own.
    within: TextMatch,
}

impl Maker {
    fn policy(&mut self, number: usize, places: &[Place]) -> Policy {
        let random = &mut self.random;
        let key = PolicyKey {
            namespace: random.chance(30).then(|| "team".to_owned()),
            name: format!("policy-{}-{number}", random.below(1000)),
        };
        let mode = if random.chance(25) { Mode::Monitor } else { Mode::Enforce };
        let on_unresolved = random.pick(&[None, None, Some(OnUnresolved::Match), Some(OnUnresolved::Skip)]);
        let hooks = 1 + random.below(3);
        let hooks = (0..hooks)
            .map(|hook| {
                let place = self.random.below(self.places.len());
                let place = self.places[place];
                self.hook(place, &places[place], &FieldPath::new("spec.hooks").index(hook))
            })
            .collect();
        let scope = self.scope(key.namespace.as_deref());
        let mut policy = Policy { key, mode, on_unresolved, nodes: NodeSelector::default(), scope, hooks };
        if self.random.chance(30) {
            let among: Vec<&Place> = self.places.iter().map(|place| &places[*place]).collect();
            notifications::add(&mut policy, &among, &mut self.random);
        }
        policy
    }

    fn hook(&mut self, number: usize, place: &Place, at: &FieldPath) -> Hook {
        let mut args = Vec::new();
        for (index, class) in (0_u8..).zip(&place.arguments) {
            if self.random.chance(75) {
                let seed = self.kind_seed ^ (number as u64) << 32 ^ u64::from(index) << 8;
                let kinds = kinds(class, &place.target);
                // Mostly the first choice of this case.
                let choice = usize::from(self.random.chance(20));
                let kind = Random::new(seed ^ choice as u64).pick(&kinds);
                args.push(arg(at, index, kind));
            }
        }
        for (member, (origin, class)) in place.members.iter().enumerate() {
            if self.random.chance(20) {
                let seed = self.kind_seed ^ (number as u64) << 32 ^ (member as u64) << 16;
                let kind = Random::new(seed).pick(&kinds(class, &place.target));
                let Origin { source, index, cast, path } = origin.clone();
                args.push(Arg { source, cast, path: Some(path), ..arg(at, index, kind) });
            }
        }
        args.truncate(ARGS_MAX);
        let on_return = place.returns.is_some() && self.random.chance(30);
        let return_arg = place.returns.as_ref().filter(|_| on_return).map(|class| {
            let kind = match class {
                TypeClass::StructPointer(_) => ArgKind::File,
                TypeClass::Integer { .. }
                | TypeClass::CharPointer
                | TypeClass::Pointer
                | TypeClass::Other => ArgKind::Auto,
            };
            arg(at, 0, kind)
        });
        let tests_return = on_return && self.random.chance(50);
        let rules =
            if self.random.chance(4) { 60 + self.random.below(140) } else { 1 + self.random.below(4) };
        let rules = (0..rules)
            .map(|rule| {
                let at = at.member("selectors").index(rule);
                self.rule(place, &args, return_arg.as_ref().filter(|_| tests_return), &at)
            })
            .collect();
        Hook {
            at: at.clone(),
            target: place.target.clone(),
            args,
            return_arg,
            on_return,
            rules,
            message: None,
            tags: Vec::new(),
            ignore_missing: false,
        }
    }

    fn rule(&mut self, place: &Place, args: &[Arg], return_arg: Option<&Arg>, at: &FieldPath) -> Rule {
        let mut predicates = Vec::new();
        let filters = if self.random.chance(8) { 0 } else { 1 + self.random.below(4) };
        for _ in 0..filters {
            let readable: Vec<usize> =
                (0..args.len()).filter(|arg| args[*arg].kind != ArgKind::Nop).collect();
            if self.random.chance(12) {
                predicates.extend(self.expression(place, args, return_arg, at));
            } else if !readable.is_empty() && self.random.chance(70) {
                let arg = self.random.pick(&readable);
                let test = self.value_test(args[arg].kind, place.class(&args[arg]));
                predicates.push(Predicate::Arg { at: at.clone(), arg, test });
            } else if self.random.chance(60) {
                let filter = self.random.below(self.filters.len());
                let filter = self.filters[filter];
                predicates.push(self.process_filter(filter, at));
            }
        }
        if let (Some(arg), Some(class)) = (return_arg, &place.returns)
            && self.random.chance(50)
        {
            let test = self.value_test(arg.kind, class);
            predicates.push(Predicate::Return { at: at.clone(), test });
        }
        if self.random.chance(12) {
            let scope = self.workloads(true);
            predicates.push(Predicate::Workload(WorkloadTest { at: at.clone(), scope }));
        }
        let deny = (place.denies && return_arg.is_none() && self.random.chance(40))
            .then(|| self.random.pick(&[-1, -13, -4095]));
        let signal = self.random.chance(25).then(|| self.random.pick(&SIGNALS));
        let limit = RateLimit { interval_ns: 1_000_000_000, scope: RateLimitScope::Process };
        let actions = Actions {
            post: self.random.chance(80),
            rate_limit: self.random.chance(10).then_some(limit),
            hash: false,
            stacks: Stacks { kernel: self.random.chance(10), user: self.random.chance(10) },
            signal,
            deny,
            calls: Vec::new(),
            late: signal.is_some() && return_arg.is_some() && self.random.chance(30),
            socket: None,
            set: None,
            notify: None,
            shown: ShownAction::Post,
            shown_return: ShownAction::Post,
        };
        Rule { at: at.clone(), label: None, predicates, actions }
    }

    fn value_test(&mut self, kind: ArgKind, class: &TypeClass) -> ValueTest {
        let certain = if kind == ArgKind::Auto { automatic_kind(class) } else { Some(kind) };
        match certain {
            Some(kind) if let Some((width, signed)) = kind.integer() => {
                ValueTest::Number(self.number_test(width, signed))
            }
            Some(kind)
                if !kind.endpoints().is_empty()
                    && (kind != ArgKind::SockaddrUn || self.random.chance(30)) =>
            {
                ValueTest::Endpoints(endpoints::test(&mut self.random, kind))
            }
            Some(kind) if kind.is_file() && self.random.chance(20) => {
                let count = 1 + self.random.below(3);
                let types = (0..count).map(|_| self.random.pick(&FileType::ALL)).collect();
                ValueTest::FileType(FileTypeTest { types, negated: self.random.chance(35) })
            }
            Some(_) | None => {
                let text = self.text_test();
                if kind == ArgKind::Auto && text.part == TextMatch::Equal {
                    let number = NumberTest::Equal { values: vec![1], negated: text.negated };
                    return ValueTest::Either { number, text };
                }
                ValueTest::Text(text)
            }
        }
    }

    fn number_test(&mut self, width: u8, signed: bool) -> NumberTest {
        let random = &mut self.random;
        let negated = random.chance(35);
        let count = 1 + random.below(3);
        match random.below(7) {
            0 | 1 => {
                let values = (0..count).map(|_| number(random, width, signed)).collect();
                NumberTest::Equal { values, negated }
            }
            2 => {
                let values = (0..count).map(|_| number(random, width, signed)).collect();
                let ranges = (0..random.below(3))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .map(|_| (number(random, width, signed), number(random, width, signed)))
                    .filter(|(low, high)| low != high)
                    .map(|(low, high)| (low.min(high), low.max(high)));
                NumberTest::Members { values, ranges: ranges.collect(), negated }
            }
            3 | 4 => {
                let mut end = |open| if random.chance(15) { open } else { number(random, width, signed) };
                let ranges = (0..count)
                    .map(|_| (end(i128::MIN), end(i128::MAX)))
                    .map(|(low, high)| (low.min(high), low.max(high)));
                NumberTest::Range { ranges: ranges.collect(), negated }
            }
            _ => {
                let bits = 8 * usize::from(width);
                let mask = (0..count).fold(0, |mask, _| mask | 1 << random.below(bits));
                NumberTest::Mask(mask)
            }
        }
    }

    fn text_test(&mut self) -> TextTest {
        let parts = [TextMatch::Equal, TextMatch::Prefix, TextMatch::Prefix, TextMatch::Postfix, self.within];
        let part = self.random.pick(&parts);
        let count = 1 + self.random.below(4);
        let values = (0..count)
            .map(|_| {
                let text = text(&mut self.random);
                // Endings and parts of any length, as long as they may be.
                let longest = text.len().min(part.longest_value());
                let from = match part {
                    TextMatch::Postfix | TextMatch::Substring | TextMatch::SubstringAnyCase => {
                        text.floor_char_boundary(text.len() - 1 - self.random.below(longest))
                    }
                    TextMatch::Equal | TextMatch::Prefix => 0,
                };
                let rest = &text[from..];
                match part {
                    TextMatch::Equal | TextMatch::Prefix | TextMatch::Postfix => rest.to_owned(),
                    TextMatch::SubstringAnyCase if self.random.chance(50) => {
                        self.beginning(rest).to_ascii_uppercase()
                    }
                    TextMatch::Substring | TextMatch::SubstringAnyCase => self.beginning(rest),
                }
            })
            .collect();
        TextTest { part, values, negated: self.random.chance(35) }
    }

    /// At least one letter of `text`.
    fn beginning(&mut self, text: &str) -> String {
        let length = 1 + self.random.below(text.len());
        text[..text.ceil_char_boundary(length)].to_owned()
    }

    fn process_filter(&mut self, filter: usize, at: &FieldPath) -> Predicate {
        if filter == 0 {
            let of = self.random.pick(&[
                BinaryOf::Process,
                BinaryOf::Process,
                BinaryOf::Parent,
                BinaryOf::Lineage,
            ]);
            let mut test = self.text_test();
            let parts = [TextMatch::Equal, TextMatch::Prefix, TextMatch::Postfix];
            if of == BinaryOf::Lineage || !parts.contains(&test.part) {
                test.part = TextMatch::Equal;
            }
            return Predicate::Binary(BinaryTest { at: at.clone(), of, test });
        }
        let random = &mut self.random;
        let negated = random.chance(35);
        let count = 1 + random.below(3);
        match filter {
            1..=4 => Predicate::Pid(PidTest {
                at: at.clone(),
                values: (0..count).map(|_| pid(random)).collect(),
                negated,
                in_namespace: filter.is_multiple_of(2),
                follow_forks: filter > 2,
            }),
            5 => Predicate::Namespace(NamespaceTest {
                at: at.clone(),
                namespace: random.pick(&[Namespace::Pid, Namespace::User, Namespace::Net]),
                values: (0..count)
                    .map(|_| {
                        if random.chance(50) {
                            NamespaceValue::Host
                        } else {
                            NamespaceValue::Inode(HOST_NAMESPACE + random.below(12) as u32)
                        }
                    })
                    .collect(),
                negated,
            }),
            6 => {
                let any_of = Namespace::ALL.into_iter().filter(|_| random.chance(20)).collect::<Vec<_>>();
                let any_of = if any_of.is_empty() { vec![Namespace::Mnt] } else { any_of };
                Predicate::NamespaceChange(NamespaceChangeTest { at: at.clone(), any_of })
            }
            7 => Predicate::CapabilityChange(CapabilityTest {
                at: at.clone(),
                set: random.pick(&SETS),
                mask: (0..count).fold(0, |mask, _| mask | 1 << random.below(64)),
                negated,
                in_namespace: random.chance(40),
            }),
            _ => Predicate::Capability(CapabilityTest {
                at: at.clone(),
                set: SETS[filter % 3],
                mask: (0..count).fold(0, |mask, _| mask | 1 << random.below(64)),
                negated,
                in_namespace: random.chance(40),
            }),
        }
    }
}

fn arg(at: &FieldPath, index: u8, kind: ArgKind) -> Arg {
    Arg::passed(at.member("args").index(usize::from(index)), index, kind)
}

/// Kinds that an argument can be read as.
fn kinds(class: &TypeClass, target: &HookTarget) -> Vec<ArgKind> {
    let int = |width, signed| ArgKind::Int(IntKind { width, signed, shown_as: IntField::Int });
    let mut kinds = match class {
        TypeClass::Integer { width, signed } => vec![
            int(*width, *signed),
            int(*width, *signed),
            int(*width, !*signed),
            int(8, *signed),
            int(8, false),
            int(4, false),
            int(1, true),
            ArgKind::Capability,
            ArgKind::Syscall,
            ArgKind::Fd,
            ArgKind::Auto,
        ],
        TypeClass::CharPointer | TypeClass::Pointer => vec![ArgKind::String, ArgKind::CharBuf],
        TypeClass::StructPointer(_) | TypeClass::Other => vec![ArgKind::Nop],
    };
    kinds.extend(automatic_kind(class));
    if matches!(target, HookTarget::Function(_) | HookTarget::Lsm(_)) && automatic_kind(class).is_some() {
        kinds.push(ArgKind::Auto);
    }
    if matches!(target, HookTarget::User { .. }) {
        kinds.retain(|kind| *kind != ArgKind::Auto);
    }
    kinds
}

/// An event at a place.
pub fn event(seed: u64, place: &Place, moment: Moment) -> Event {
    let mut random = Random::new(seed);
    let mut args = BTreeMap::new();
    for (index, class) in (0_u8..).zip(&place.arguments) {
        args.insert(Origin::from(index), value(&mut random, class));
    }
    for (origin, class) in &place.members {
        let value = value(&mut random, class);
        // Now and then the way leads nowhere.
        if random.chance(85) {
            args.insert(origin.clone(), value);
        }
    }
    let returned = match (moment, &place.returns) {
        (Moment::End, Some(class)) => Some(value(&mut random, class)),
        (Moment::Begin | Moment::Asked | Moment::End, _) => None,
    };
    let process = process(&mut random);
    Event { target: place.target.clone(), moment, denies: place.denies, args, returned, process }
}

fn value(random: &mut Random, class: &TypeClass) -> Value {
    let number = match class {
        TypeClass::Integer { width, signed } => {
            let garbage = if random.chance(50) { u128::from(random.number()) } else { 0 };
            let own = u128::from(u64::MAX) >> (64 - 8 * u32::from(*width));
            let number = number(random, *width, *signed).cast_unsigned();
            // What stands above the type in its register is anything at all.
            (number & own | garbage & !own) as u64
        }
        TypeClass::CharPointer | TypeClass::StructPointer(_) | TypeClass::Pointer | TypeClass::Other => {
            random.number()
        }
    };
    let file_type = random.chance(85).then(|| random.pick(&FileType::ALL));
    let endpoints = match class {
        TypeClass::StructPointer(name) => endpoints::endpoints(random, name),
        TypeClass::Integer { .. } | TypeClass::CharPointer | TypeClass::Pointer | TypeClass::Other => {
            Endpoints::default()
        }
    };
    let mut text = reading(random);
    if *class == TypeClass::StructPointer("sockaddr_un".to_owned()) {
        text = endpoints::unix_path(text, endpoints.family);
    }
    // A pointer that leads nowhere.
    let endpoints = if text == Reading::Absent { Endpoints::default() } else { endpoints };
    Value { class: class.clone(), number, text, file_type, endpoints }
}

fn process(random: &mut Random) -> Process {
    let mut id = || ProcessId { global: pid(random), own: pid(random) };
    let (own, line) = (id(), [id(), id(), id()]);
    // Now and then so many that the eldest are not seen.
    let length = if random.chance(10) { 28 + random.below(8) } else { random.below(4) };
    let fill = ProcessId { global: 1_000_000, own: 1_000_000 };
    let ancestors = (0..length)
        .map(|place| if length > 4 && place < 26 { fill } else { line[place % line.len()] })
        .collect();
    let (binary, parent_binary) = (reading(random), reading(random));
    let lineage = Lineage {
        binaries: (0..random.below(4)).map(|_| text(random).into_bytes()).collect(),
        complete: random.chance(80),
    };
    let now = privileges(random);
    // Mostly little has changed.
    let then = Privileges {
        capabilities: SETS
            .map(|set| (set, now.capabilities[&set] ^ (random.number() & random.number() & random.number())))
            .into(),
        namespaces: now
            .namespaces
            .iter()
            .map(|(namespace, inode)| (*namespace, if random.chance(80) { *inode } else { inode ^ 1 }))
            .collect(),
    };
    Process {
        binary,
        parent_binary,
        lineage,
        id: own,
        ancestors,
        now,
        beginning: random.chance(90).then_some(then),
        workload: {
            let stock = workloads();
            stock[random.below(stock.len())].clone()
        },
        notifications: Notifications::new(),
    }
}

const SETS: [CapabilitySet; 3] =
    [CapabilitySet::Effective, CapabilitySet::Permitted, CapabilitySet::Inheritable];

fn privileges(random: &mut Random) -> Privileges {
    Privileges {
        capabilities: SETS.map(|set| (set, random.number() & random.number() & random.number())).into(),
        namespaces: (0..)
            .zip(Namespace::ALL)
            .map(|(place, namespace): (u32, _)| {
                let other = random.below(12) as u32;
                (namespace, HOST_NAMESPACE + if random.chance(50) { place } else { other })
            })
            .collect(),
    }
}

fn pid(random: &mut Random) -> u32 {
    random.pick(&[1, 2, 3, 5, 8, 4_194_303, u32::MAX])
}

/// An integer of a type, mostly at an edge.
fn number(random: &mut Random, width: u8, signed: bool) -> i128 {
    let bits = 8 * u32::from(width);
    let (least, greatest) =
        if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
    let near: i128 = random.pick(&[0, 1, 2, 3]);
    let number = match random.below(8) {
        0 => least + near,
        1 => greatest - near,
        2 => -near,
        3 => 1 << random.below(bits as usize),
        4 => i128::from(random.number() as u8),
        5 => (1 << (bits / 2)) - near,
        _ => near,
    };
    if (least..=greatest).contains(&number) { number } else { near }
}

/// Beginnings of one another, and others.
const TEXTS: [&str; 28] = [
    "@a",
    "@a/b",
    "/",
    "/a",
    "/a/",
    "/ab",
    "/a/b",
    "/a/b/c",
    "/a/b/cd",
    "/etc",
    "/etc/",
    "/etc/pass",
    "/etc/passwd",
    "/etc/passwd/",
    "/etc/passwd2",
    "/etc/shadow",
    "/etc/ssh/sshd_config",
    "/usr/bin/cat",
    "/usr/bin/",
    "/usr/bin/c",
    "/tmp/x",
    "x",
    "xy",
    "xyz",
    "passwd",
    "wd",
    "/proc/self/maps",
    "/\u{e4}/\u{20ac}",
];

/// Around one, two, three and the most chunks, and around the length of the longest ending.
const LENGTHS: [usize; 20] =
    [127, 128, 129, 130, 246, 247, 248, 249, 250, 495, 496, 497, 498, 743, 744, 745, 1000, 4093, 4094, 4095];

/// What texts are made of, as they are.
pub fn texts() -> impl Iterator<Item = String> {
    TEXTS.into_iter().map(str::to_owned).chain(LENGTHS.into_iter().map(long_text))
}

/// A path of so many bytes.
fn long_text(length: usize) -> String {
    let mut text = "/0123456789/abcdef".repeat(length / 18 + 1);
    text.truncate(length);
    text
}

/// A text that is not empty and no longer than a path can be.
fn text(random: &mut Random) -> String {
    if random.chance(75) {
        return random.pick(&TEXTS).to_owned();
    }
    // The longest ones are slow to compare.
    let lengths = if random.chance(5) { &LENGTHS[..] } else { &LENGTHS[..16] };
    let mut text = long_text(random.pick(lengths));
    if random.chance(25) {
        let last = text.len() - 1;
        text.truncate(last);
        text.push('#');
    }
    text
}

fn reading(random: &mut Random) -> Reading {
    match random.below(20) {
        0 => Reading::Absent,
        1 | 5 => Reading::Unresolved,
        2 => {
            let bytes = [text(random).as_bytes(), &[0], text(random).as_bytes()].concat();
            Reading::Text(bytes)
        }
        // In a directory, beside, or too long.
        3 => Reading::Text([text(random), text(random)].concat().into_bytes()),
        4 => {
            let mut bytes = text(random).into_bytes();
            bytes.pop();
            Reading::Text(bytes)
        }
        _ => Reading::Text(text(random).into_bytes()),
    }
}

/// The policy with each of its hooks changed by `change`: what made-up policies ask for, brought to what a test can
/// make happen.
#[must_use]
pub fn with_hooks(policy: &Policy, change: impl FnMut(&mut Hook)) -> Policy {
    let mut policy = policy.clone();
    policy.hooks.iter_mut().for_each(change);
    policy
}
