//! Filters on values read at the hook: which operator fits which type.

use super::endpoints;
use super::lists::Shared;
use super::names::{self, BPF_COMMANDS};
use super::number::{self, Span};
use super::process::{some_values, unknown_capability};
use super::report::{Report, quoted};
use super::syscalls;
use super::text::{self, Subject};
use crate::model::{
    Arg, ArgKind, EndpointsPart, FieldPath, FileType, FileTypeTest, NumberTest, TextMatch, ValueTest,
};
use crate::spec::{ListKind, Operator, ValueFilter};
use crate::violation::did_you_mean;

/// What an operator asks.
enum Question {
    /// Equal to one of the values, as numbers or as text.
    Equal { negated: bool },
    /// Part of a text.
    Part { part: TextMatch, negated: bool },
    /// Within a range.
    Range { negated: bool },
    /// Above or below.
    Beyond { above: bool },
    /// Bits.
    Mask,
    /// Equal to one of the values or within one of the ranges.
    Members { negated: bool },
    /// A file of one of the kinds.
    FileType { negated: bool },
    /// Endpoints.
    Endpoints(endpoints::Question),
    /// An expression, which may be about several values: see [`super::expression`].
    Expression,
}

fn question(operator: Operator) -> Question {
    use EndpointsPart as Part;
    let asked = |part, negated| Question::Endpoints(endpoints::Question::of(part, negated));
    let privileged = |part, negated| Question::Endpoints(endpoints::Question::privileged(part, negated));
    match operator {
        Operator::Equal => Question::Equal { negated: false },
        Operator::NotEqual => Question::Equal { negated: true },
        Operator::Prefix => Question::Part { part: TextMatch::Prefix, negated: false },
        Operator::NotPrefix => Question::Part { part: TextMatch::Prefix, negated: true },
        Operator::Postfix => Question::Part { part: TextMatch::Postfix, negated: false },
        Operator::NotPostfix => Question::Part { part: TextMatch::Postfix, negated: true },
        Operator::SubString => Question::Part { part: TextMatch::Substring, negated: false },
        Operator::SubStringIgnCase => Question::Part { part: TextMatch::SubstringAnyCase, negated: false },
        Operator::GreaterThan | Operator::Gt => Question::Beyond { above: true },
        Operator::LessThan | Operator::Lt => Question::Beyond { above: false },
        Operator::InRange => Question::Range { negated: false },
        Operator::NotInRange => Question::Range { negated: true },
        Operator::Mask => Question::Mask,
        Operator::InMap => Question::Members { negated: false },
        Operator::NotInMap => Question::Members { negated: true },
        Operator::CelExpr | Operator::CapabilitiesGained => Question::Expression,
        Operator::FileType => Question::FileType { negated: false },
        Operator::NotFileType => Question::FileType { negated: true },
        Operator::SAddr => asked(Part::SourceAddress, false),
        Operator::NotSAddr => asked(Part::SourceAddress, true),
        Operator::DAddr => asked(Part::DestinationAddress, false),
        Operator::NotDAddr => asked(Part::DestinationAddress, true),
        Operator::SPort => asked(Part::SourcePort, false),
        Operator::NotSPort => asked(Part::SourcePort, true),
        Operator::SPortPriv => privileged(Part::SourcePort, false),
        Operator::NotSPortPriv | Operator::NotSportPriv => privileged(Part::SourcePort, true),
        Operator::DPort => asked(Part::DestinationPort, false),
        Operator::NotDPort => asked(Part::DestinationPort, true),
        Operator::DPortPriv => privileged(Part::DestinationPort, false),
        Operator::NotDPortPriv => privileged(Part::DestinationPort, true),
        Operator::Protocol => asked(Part::Protocol, false),
        Operator::Family => asked(Part::Family, false),
        Operator::State => asked(Part::State, false),
    }
}

/// As users write it.
fn name(operator: Operator) -> String {
    match operator {
        Operator::Gt => "GT".to_owned(),
        Operator::Lt => "LT".to_owned(),
        Operator::Equal
        | Operator::NotEqual
        | Operator::Prefix
        | Operator::NotPrefix
        | Operator::Postfix
        | Operator::NotPostfix
        | Operator::SubString
        | Operator::SubStringIgnCase
        | Operator::GreaterThan
        | Operator::LessThan
        | Operator::InRange
        | Operator::NotInRange
        | Operator::Mask
        | Operator::InMap
        | Operator::NotInMap
        | Operator::CelExpr
        | Operator::CapabilitiesGained
        | Operator::FileType
        | Operator::NotFileType
        | Operator::SAddr
        | Operator::NotSAddr
        | Operator::DAddr
        | Operator::NotDAddr
        | Operator::SPort
        | Operator::NotSPort
        | Operator::SPortPriv
        | Operator::NotSPortPriv
        | Operator::NotSportPriv
        | Operator::DPort
        | Operator::NotDPort
        | Operator::DPortPriv
        | Operator::NotDPortPriv
        | Operator::Protocol
        | Operator::Family
        | Operator::State => format!("{operator:?}"),
    }
}

const NUMBER_OPERATORS: &str =
    "Equal, NotEqual, GreaterThan, GT, LessThan, LT, InRange, NotInRange, Mask, InMap, NotInMap, CelExpr";
const TEXT_OPERATORS: &str =
    "Equal, NotEqual, Prefix, NotPrefix, Postfix, NotPostfix, SubString, SubStringIgnCase";
const FILE_OPERATORS: &str = "Equal, NotEqual, Prefix, NotPrefix, Postfix, NotPostfix, SubString, \
                              SubStringIgnCase, FileType, NotFileType";

/// Names of kinds of files.
pub(crate) const FILE_TYPES: [(&str, FileType); 14] = [
    ("reg", FileType::Regular),
    ("regular", FileType::Regular),
    ("dir", FileType::Directory),
    ("directory", FileType::Directory),
    ("lnk", FileType::Link),
    ("link", FileType::Link),
    ("fifo", FileType::Fifo),
    ("pipe", FileType::Fifo),
    ("sock", FileType::Socket),
    ("socket", FileType::Socket),
    ("chr", FileType::CharacterDevice),
    ("char", FileType::CharacterDevice),
    ("blk", FileType::BlockDevice),
    ("block", FileType::BlockDevice),
];

/// Numbers that a type has, and their names.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    span: Span,
    names: Names,
}

impl Numbers {
    /// Of a type that only the kernel knows.
    const UNKNOWN: Self = Self { span: Span::UNKNOWN, names: Names::None };
}

/// Names that may stand for numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    None,
    Capabilities,
    /// Of bits.
    CapabilitySets,
    Syscalls,
    BpfCommands,
}

/// What kind of comparison a type allows.
enum Comparable {
    Number(Numbers),
    Text(Subject),
    /// `auto`: the kernel's description of the function will tell.
    Either,
    Endpoints,
    Nothing,
}

fn comparable(kind: ArgKind) -> Comparable {
    match kind {
        ArgKind::Auto => Comparable::Either,
        ArgKind::Int(kind) => Comparable::Number(Numbers { span: Span::of(kind), names: Names::None }),
        ArgKind::Capability => {
            Comparable::Number(Numbers { span: Span::CAPABILITIES, names: Names::Capabilities })
        }
        ArgKind::Syscall => Comparable::Number(Numbers { span: Span::SYSCALLS, names: Names::Syscalls }),
        ArgKind::Capabilities(_) => {
            Comparable::Number(Numbers { span: Span::CAPABILITY_SETS, names: Names::CapabilitySets })
        }
        ArgKind::BpfCmd => Comparable::Number(Numbers { span: Span::COMMANDS, names: Names::BpfCommands }),
        ArgKind::String
        | ArgKind::CharBuf
        | ArgKind::Filename
        | ArgKind::Module
        | ArgKind::NetDevice
        | ArgKind::DataLoc
        | ArgKind::ConstBuf => Comparable::Text(Subject::Text),
        ArgKind::SockaddrUn => Comparable::Text(Subject::UnixAddress),
        ArgKind::File
        | ArgKind::Fd
        | ArgKind::Path
        | ArgKind::Dentry
        | ArgKind::LinuxBinprm
        | ArgKind::Kiocb => Comparable::Text(Subject::Path),
        ArgKind::Sock | ArgKind::Socket | ArgKind::Skb | ArgKind::Sockaddr => Comparable::Endpoints,
        ArgKind::CharIovec
        | ArgKind::Cred
        | ArgKind::UserNamespace
        | ArgKind::BpfAttr
        | ArgKind::BpfMap
        | ArgKind::PerfEvent
        | ArgKind::BpfProg
        | ArgKind::LoadInfo
        | ArgKind::IovIter
        | ArgKind::Nop => Comparable::Nothing,
    }
}

/// What to ask instead of a value that is only shown.
fn instead(kind: ArgKind) -> Option<&'static str> {
    let all = [
        (ArgKind::Cred, "`matchCapabilities` asks what the process itself may do"),
        (ArgKind::UserNamespace, "`matchNamespaces` asks in which namespaces the process itself is"),
        (ArgKind::BpfAttr, "`matchBinaries` asks who loads the program"),
        (ArgKind::BpfMap, "`matchBinaries` asks who makes the map"),
        (ArgKind::PerfEvent, "`matchBinaries` asks who opens the event"),
        (ArgKind::BpfProg, "`matchBinaries` asks who loads the program"),
        (ArgKind::LoadInfo, "an argument of type module is compared by the module's name"),
        (ArgKind::IovIter, "an argument of type char_buf is compared up to its first zero byte"),
    ];
    all.iter().find(|(known, _)| *known == kind).map(|(_, hint)| *hint)
}

/// The test that a filter makes of a value of `arg`'s type; says what is wrong otherwise.
pub(super) fn test(
    filter: &ValueFilter,
    arg: &Arg,
    shared: &Shared,
    at: &FieldPath,
    report: &mut Report,
) -> Option<ValueTest> {
    let question = question(filter.operator);
    let comparable = comparable(arg.kind);
    if let Comparable::Nothing = comparable {
        let found = format!("an argument of type {}", arg.kind.name());
        let (at, allowed) = (at.member("index"), "an argument that is compared");
        match instead(arg.kind) {
            Some(hint) => report.refuse_with(&at, found, allowed, hint),
            None => report.refuse(&at, found, allowed),
        }
        return None;
    }
    let misfit = match &question {
        Question::Equal { .. } => matches!(comparable, Comparable::Endpoints),
        Question::Part { .. } => {
            matches!(comparable, Comparable::Number(_) | Comparable::Endpoints)
        }
        Question::Range { .. } | Question::Beyond { .. } | Question::Mask | Question::Members { .. } => {
            matches!(comparable, Comparable::Text(_) | Comparable::Endpoints)
        }
        Question::FileType { .. } => !arg.kind.is_file() && arg.kind != ArgKind::Auto,
        Question::Endpoints(question) => !endpoints::fits(*question, arg.kind),
        Question::Expression => true,
    };
    if misfit {
        refuse_operator(filter.operator, &comparable, arg, at, report);
        return None;
    }
    if let Question::Endpoints(question) = question {
        return endpoints::test(question, filter, arg, at, report);
    }
    some_values(&filter.values, at, report)?;
    if let Question::FileType { negated } = question {
        return file_types(&filter.values, negated, at, report);
    }
    match comparable {
        Comparable::Number(numbers) => {
            number_test(&question, &filter.values, numbers, shared, at, report).map(ValueTest::Number)
        }
        Comparable::Text(subject) => {
            text_test(&question, subject, &filter.values, at, report).map(ValueTest::Text)
        }
        Comparable::Either => either(&question, &filter.values, shared, at, report),
        Comparable::Endpoints | Comparable::Nothing => None,
    }
}

fn refuse_operator(
    operator: Operator,
    comparable: &Comparable,
    arg: &Arg,
    at: &FieldPath,
    report: &mut Report,
) {
    let (what, allowed) = match comparable {
        Comparable::Text(_) if arg.kind.is_file() => ("a text", FILE_OPERATORS.to_owned()),
        Comparable::Text(Subject::UnixAddress) => {
            ("a text", format!("{TEXT_OPERATORS}, {}", endpoints::operators(arg.kind)))
        }
        Comparable::Text(_) => ("a text", TEXT_OPERATORS.to_owned()),
        Comparable::Endpoints => (endpoints::noun(arg.kind), endpoints::operators(arg.kind)),
        Comparable::Number(_) | Comparable::Either | Comparable::Nothing => {
            ("a number", NUMBER_OPERATORS.to_owned())
        }
    };
    let found = format!("`{}` on {}, which is {what}", name(operator), arg.origin());
    report.refuse(&at.member("operator"), found, allowed);
}

/// The kind of file of that name.
pub(crate) fn file_type(name: &str) -> Option<FileType> {
    FILE_TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
}

fn file_types(values: &[String], negated: bool, at: &FieldPath, report: &mut Report) -> Option<ValueTest> {
    let mut types = Vec::with_capacity(values.len());
    for (place, name) in values.iter().enumerate() {
        if let Some(kind) = file_type(name) {
            types.push(kind);
        } else if !report.violations.is_full() {
            let names = FILE_TYPES.map(|(known, _)| known);
            let at = at.member("values").index(place);
            match did_you_mean(name, names) {
                Some(hint) => report.refuse_with(&at, quoted(name), names.join(", "), hint),
                None => report.refuse(&at, quoted(name), names.join(", ")),
            }
        }
    }
    (types.len() == values.len()).then_some(ValueTest::FileType(FileTypeTest { types, negated }))
}

/// A test on a value whose type only the kernel knows.
fn either(
    question: &Question,
    values: &[String],
    shared: &Shared,
    at: &FieldPath,
    report: &mut Report,
) -> Option<ValueTest> {
    match question {
        Question::FileType { .. } | Question::Endpoints(_) | Question::Expression => None,
        Question::Part { .. } => text_test(question, Subject::Text, values, at, report).map(ValueTest::Text),
        Question::Range { .. } | Question::Beyond { .. } | Question::Mask | Question::Members { .. } => {
            number_test(question, values, Numbers::UNKNOWN, shared, at, report).map(ValueTest::Number)
        }
        Question::Equal { .. } => {
            let text = text_test(question, Subject::Text, values, at, report)?;
            let numbers = values
                .iter()
                .all(|value| number::parse(value).is_some_and(|number| Span::UNKNOWN.contains(number)));
            if !numbers {
                return Some(ValueTest::Text(text));
            }
            let number = number_test(question, values, Numbers::UNKNOWN, shared, at, report)?;
            Some(ValueTest::Either { number, text })
        }
    }
}

fn text_test(
    question: &Question,
    subject: Subject,
    values: &[String],
    at: &FieldPath,
    report: &mut Report,
) -> Option<crate::model::TextTest> {
    match question {
        Question::Equal { negated } => text::test(subject, TextMatch::Equal, *negated, values, at, report),
        Question::Part { part, negated } => text::test(subject, *part, *negated, values, at, report),
        Question::Range { .. }
        | Question::Beyond { .. }
        | Question::Mask
        | Question::Members { .. }
        | Question::FileType { .. }
        | Question::Endpoints(_)
        | Question::Expression => None,
    }
}

fn number_test(
    question: &Question,
    values: &[String],
    numbers: Numbers,
    shared: &Shared,
    at: &FieldPath,
    report: &mut Report,
) -> Option<NumberTest> {
    let before = report.refused;
    let span = numbers.span;
    let each =
        values.iter().enumerate().map(|(place, text)| (text.as_str(), at.member("values").index(place)));
    let test = match question {
        Question::Equal { negated } => {
            let values = each.filter_map(|(text, at)| single(text, numbers, &at, report)).collect();
            NumberTest::Equal { values, negated: *negated }
        }
        Question::Range { negated } => {
            let ranges = each.filter_map(|(text, at)| number::range(text, span, &at, report)).collect();
            NumberTest::Range { ranges, negated: *negated }
        }
        Question::Members { negated } => members(each, *negated, numbers, shared, report),
        Question::Beyond { above } => {
            let ranges = each.filter_map(|(text, at)| beyond(text, span, *above, &at, report)).collect();
            NumberTest::Range { ranges, negated: false }
        }
        Question::Mask => {
            let mut mask = 0;
            for (text, at) in each {
                mask |= match numbers.names {
                    Names::CapabilitySets if number::parse(text).is_none() => {
                        capability(text, &at, report).map(|number| 1 << number)
                    }
                    Names::None
                    | Names::Capabilities
                    | Names::CapabilitySets
                    | Names::Syscalls
                    | Names::BpfCommands => bits(text, span.bits(), &at, report),
                }
                .unwrap_or(0);
            }
            NumberTest::Mask(mask)
        }
        Question::Part { .. } | Question::FileType { .. } | Question::Endpoints(_) | Question::Expression => {
            return None;
        }
    };
    (report.refused == before).then_some(test)
}

/// A number, or the name of one.
fn single(text: &str, numbers: Numbers, at: &FieldPath, report: &mut Report) -> Option<i128> {
    if number::parse(text).is_some() {
        return number::within(text, numbers.span, at, report);
    }
    match numbers.names {
        Names::CapabilitySets if names::capability(text).is_some() => {
            let hint = "`Mask` takes names of capabilities, and matches sets that have one of them";
            report.refuse_with(at, quoted(text), "a number with a bit for each capability of the set", hint);
            None
        }
        Names::None | Names::CapabilitySets => number::within(text, numbers.span, at, report),
        Names::Capabilities => capability(text, at, report).map(i128::from),
        Names::BpfCommands => bpf_command(text, at, report).map(i128::from),
        Names::Syscalls => syscalls::number(text, at, report).map(i128::from),
    }
}

fn capability(name: &str, at: &FieldPath, report: &mut Report) -> Option<u8> {
    let found = names::capability(name);
    if found.is_none() {
        unknown_capability(name, at, report);
    }
    found
}

fn bpf_command(name: &str, at: &FieldPath, report: &mut Report) -> Option<u8> {
    let found = names::bpf_command(name);
    if found.is_none() {
        let allowed = "a number, or the name of a command of bpf(): BPF_PROG_LOAD";
        // Looking for near names takes time, and nobody will read them.
        let hint = if report.violations.is_full() { None } else { did_you_mean(name, BPF_COMMANDS) };
        match hint {
            Some(hint) => report.refuse_with(at, quoted(name), allowed, hint),
            None => report.refuse(at, quoted(name), allowed),
        }
    }
    found
}

/// Numbers, ranges, and lists of both.
fn members<'a>(
    values: impl Iterator<Item = (&'a str, FieldPath)>,
    negated: bool,
    numbers: Numbers,
    shared: &Shared,
    report: &mut Report,
) -> NumberTest {
    let (mut single_values, mut ranges) = (Vec::new(), Vec::new());
    let span = numbers.span;
    let mut member = |text: &str, at: &FieldPath, report: &mut Report| {
        if !text.contains(':') {
            single_values.extend(single(text, numbers, at, report));
            return;
        }
        match number::range(text, span, at, report) {
            Some((low, high)) if low == high => single_values.push(low),
            range => ranges.extend(range),
        }
    };
    for (text, at) in values {
        let Some(name) = text.strip_prefix("list:") else {
            member(text, &at, report);
            continue;
        };
        let Some((list, list_at)) = shared.list(name, &at, report) else { continue };
        if matches!(list.kind, Some(ListKind::GeneratedFtrace | ListKind::GeneratedSyscalls)) {
            report.refuse(&at, quoted(text), "a list of numbers: what is generated is for `call`");
            continue;
        }
        if list.kind == Some(ListKind::Syscalls) && numbers.names != Names::Syscalls {
            let hint = "names of system calls are compared with arguments of type syscall64";
            report.refuse_with(&at, quoted(text), "a list of numbers, which has no `type`", hint);
            continue;
        }
        // What a number weighs in the model, about.
        if shared.write_out(list.values.len() * size_of::<(i128, i128)>(), &at, report).is_none() {
            continue;
        }
        for (place, text) in list.values.iter().enumerate() {
            member(text, &list_at.member("values").index(place), report);
        }
    }
    NumberTest::Members { values: single_values, ranges, negated }
}

fn beyond(text: &str, span: Span, above: bool, at: &FieldPath, report: &mut Report) -> Option<(i128, i128)> {
    let number = number::within(text, span, at, report)?;
    let (end, range) =
        if above { (span.high, (number + 1, i128::MAX)) } else { (span.low, (i128::MIN, number - 1)) };
    if number == end {
        let side = if above { "above" } else { "below" };
        report.refuse(
            at,
            format!("{}: no value of this type lies {side} it", quoted(text)),
            span.to_string(),
        );
        return None;
    }
    Some(range)
}

fn bits(text: &str, span: Span, at: &FieldPath, report: &mut Report) -> Option<u64> {
    let number = number::within(text, span, at, report)?;
    if number == 0 {
        report.refuse(at, format!("{}, which has no bit", quoted(text)), "a number with at least one bit");
        return None;
    }
    u64::try_from(number).ok()
}
