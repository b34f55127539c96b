//! Hooks in programs and libraries.

use super::policy;
use crate::plan::testing::{FakeSymbols, facts};
use crate::plan::*;
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::lictor_field_shape;

/// What came of a policy with these uprobes: refusals, warnings, hook points.
fn outcome(spec: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let compiled = compile(&[policy("p", spec)], &facts());
    let refusals = compiled.refusals.iter().map(ToString::to_string).collect();
    let warnings = compiled.warnings.iter().map(ToString::to_string).collect();
    (refusals, warnings, compiled.plan.hooks.iter().map(|hook| hook.point.to_string()).collect())
}

/// An uprobe at two places of the made-up program, whose digests have the number 7 in each byte.
fn meant_for(digests: &[&str], more: &str) -> String {
    format!(
        "  uprobes:\n  - {{path: /bin/program, symbols: [run, run+4], binaryDigests: [{}]{more}}}\n",
        digests.join(", ")
    )
}

#[test]
fn one_digest_of_several_is_enough() {
    let (seven, eight) = ("07".repeat(32), "08".repeat(32));
    let spec = meant_for(&[&format!("'sha256:{eight}'"), &format!("'sha256:{seven}'"), "'build-id:01'"], "");
    let (refusals, warnings, points) = outcome(&spec);
    assert_eq!((refusals, warnings), (vec![], vec![]));
    assert_eq!(points, ["uprobe//bin/program:0x1000", "uprobe//bin/program:0x1004"]);
    let sha1 = format!("'sha1:{}'", "07".repeat(20));
    assert_eq!(outcome(&meant_for(&["'build-id:07'", &sha1], "")).2.len(), 2, "an algorithm of two");
}

#[test]
fn another_file_is_refused_once_and_by_name() {
    let eight = "08".repeat(20);
    let spec = meant_for(&[&format!("'sha1:{eight}'"), "'build-id:07'"], "");
    let (refusals, warnings, points) = outcome(&spec);
    let seven = "07".repeat(20);
    let wanted = format!(
        "policy p: spec.uprobes[0].binaryDigests: found the file `/bin/program` with `sha1:{seven}` and no build-id; \
         allowed: `sha1:{eight}`, `build-id:07`; \
         `ignore.digestVerificationFailure: true` leaves the hook out where the file is another one"
    );
    assert_eq!((refusals, warnings, points), (vec![wanted], vec![], vec![]));
    let many: Vec<String> = (0..5).map(|number| format!("'build-id:0{number}'")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(outcome(&meant_for(&many, "")).0[0].contains("`build-id:02`, 2 more"));
}

#[test]
fn another_file_may_be_passed_over() {
    let other = meant_for(&["'build-id:07'"], ", ignore: {digestVerificationFailure: true}");
    let spec = format!("{other}  - {{path: /bin/program, offsets: [16]}}\n");
    let (refusals, warnings, points) = outcome(&spec);
    assert_eq!((refusals, points), (vec![], vec!["uprobe//bin/program:0x10".to_owned()]));
    assert_eq!(
        warnings,
        ["policy p: spec.uprobes[0].binaryDigests: found the file `/bin/program` with no build-id; \
          it is none of those that are meant: the hook is passed over"]
    );
    // That no file is there is another matter, and so is a function that the right file does not have.
    let none = other.replace("/bin/program", "/bin/none");
    assert!(outcome(&none).0[0].contains("the file `/bin/none`"), "{:?}", outcome(&none));
    let seven = format!("'sha1:{}'", "07".repeat(20));
    let no_place =
        meant_for(&[&seven], ", ignore: {digestVerificationFailure: true}").replace("run,", "runn,");
    assert!(outcome(&no_place).0[0].contains("place `runn`"), "{:?}", outcome(&no_place));
}

/// The made-up node after its files have changed.
#[derive(Debug)]
enum Changed {
    /// They have no digests any more.
    Digests,
    /// They have no places any more but those of `run` itself.
    Places,
}

impl Symbols for Changed {
    fn function(&self, _: &str) -> Option<Signature> {
        None
    }
    fn probeable(&self, _: &str) -> bool {
        false
    }
    fn fitting_functions(&self, _: &crate::model::FunctionPattern) -> Vec<String> {
        Vec::new()
    }
    fn nearest_functions(&self, _: &str, _: usize) -> Vec<String> {
        Vec::new()
    }
    fn tracepoint(&self, _: &str, _: &str) -> Option<Vec<TracepointField>> {
        None
    }
    fn raw_tracepoint(&self, _: &str) -> Option<Signature> {
        None
    }
    fn nearest_tracepoints(&self, _: &str, _: &str, _: usize) -> Vec<String> {
        Vec::new()
    }
    fn user_places(
        &self,
        path: &str,
        place: &crate::model::UserPlace,
    ) -> Result<Vec<FoundPlace>, UserProblem> {
        let stays = matches!(self, Self::Digests) || place.to_string() == "run";
        if stays { facts().symbols.user_places(path, place) } else { Err(UserProblem::NoPlace(Vec::new())) }
    }
    fn file_digest(&self, path: &str, kind: crate::model::DigestKind) -> Result<FoundDigest, UserProblem> {
        let found = facts().symbols.file_digest(path, kind)?;
        Ok(if matches!(self, Self::Digests) { FoundDigest { digest: None, ..found } } else { found })
    }
    fn member(&self, structure: &str, path: &crate::model::MemberPath) -> Result<Way, NoWay> {
        facts().symbols.member(structure, path)
    }
}

#[test]
fn a_file_with_another_content_is_asked_about_again() {
    let seven = format!("'sha1:{}'", "07".repeat(20));
    let compiled = compile(&[policy("p", &meant_for(&[&seven], ""))], &facts());
    assert!(!compiled.answers.have_changed(&*facts().symbols));
    assert!(compiled.answers.have_changed(&Changed::Digests));
}

/// The fields of an uprobe with these data.
fn data(entries: &str) -> Result<Vec<(u32, i32, u8)>, String> {
    let spec = format!("  uprobes:\n  - {{path: /bin/program, symbols: [run], data: [{entries}]}}\n");
    let compiled = compile(&[policy("p", &spec)], &facts());
    if let Some(refusal) = compiled.refusals.first() {
        return Err(refusal.to_string());
    }
    let fields = &compiled.plan.hooks[0].shape.fields;
    Ok(fields.iter().map(|field| (field.source.into(), field.steps[0], field.width)).collect())
}

#[test]
fn data_are_registers_or_parts_of_them_and_members_of_the_task() {
    let registers = wire::LICTOR_SOURCE_REGISTERS;
    let of = |name: &str, kind: &str| {
        data(&format!("{{index: 0, type: {kind}, source: pt_regs, resolve: {name}}}"))
    };
    for (name, kind, offset, width) in [
        ("rdi", "auto", 112, 8),
        ("di", "uint64", 112, 8),
        ("ax", "int", 80, 4),
        ("eax", "auto", 80, 4),
        ("eax", "uint64", 80, 4),
        ("r8d", "auto", 72, 4),
        ("al", "auto", 80, 1),
        ("r8w", "int", 72, 2),
    ] {
        assert_eq!(of(name, kind), Ok(vec![(registers, offset, width)]), "{name} {kind}");
    }
    assert_eq!(of("rdi", "string").map(|fields| fields.len()), Ok(1));
    assert!(of("edi", "string").is_err_and(|text| text.contains("uint32_t")));
    assert!(of("xmm0", "int").is_err_and(|text| text.contains("register xmm0")));
    assert!(of("rdi", "file").is_err_and(|text| text.contains("no structures of the kernel")));
    let task = data("{index: 0, type: string, source: current_task, resolve: comm}");
    assert_eq!(task.map(|fields| fields[0].0), Ok(wire::LICTOR_SOURCE_TASK));
}

#[test]
fn data_are_compared_and_shown_beside_the_arguments() {
    let spec = "  uprobes:
  - path: /bin/program
    symbols: [run]
    args: [{index: 0, type: int}]
    data: [{index: 0, type: string, source: current_task, resolve: comm, label: name}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: ['3']}]
      matchData: [{index: 0, operator: Prefix, values: [a]}]
";
    let compiled = compile(&[policy("p", spec)], &facts());
    assert_eq!(compiled.refusals, []);
    let hook = &compiled.plan.hooks[0];
    assert_eq!((hook.groups[0].args.len(), hook.groups[0].data.len(), hook.columns.len()), (1, 1, 2));
}

/// The one hook point of a policy with this uprobe at `run`.
fn at_run(more: &str) -> HookPlan {
    let spec = format!("  uprobes:\n  - path: /bin/program\n    symbols: [run]\n{more}");
    let compiled = compile(&[policy("p", &spec)], &facts());
    assert_eq!(compiled.refusals, []);
    compiled.plan.hooks[0].clone()
}

#[test]
fn arguments_at_the_end_of_a_function_are_kept_from_its_beginning() {
    let at_end = "    return: true\n    returnArg: {index: 0, type: int}\n";
    assert_eq!(at_run("").point.attach, Attach::Uprobe);
    assert_eq!(at_run(at_end).point.attach, Attach::Uretprobe, "nothing has to be kept");
    let registers = format!("{at_end}    data: [{{index: 0, type: int, source: pt_regs, resolve: rax}}]\n");
    assert_eq!(at_run(&registers).point.attach, Attach::Uretprobe, "registers are those of the end");
    let both = at_run(&format!("{at_end}    args: [{{index: 1, type: int}}, {{index: 0, type: string}}]\n"));
    assert_eq!(both.point.to_string(), "uretprobe+arguments//bin/program:0x1000");
    let sources: Vec<u32> = both.shape.fields.iter().map(|field| field.source.into()).collect();
    assert_eq!(sources, [0, 1, wire::LICTOR_SOURCE_RETURN]);
    let copied = at_run("    args: [{index: 1, type: char_buf, sizeArgIndex: 3, returnCopy: true}]\n");
    assert_eq!(copied.point.attach, Attach::UretprobeArguments, "a copy is made at the end");
    assert_eq!(u32::from(copied.shape.fields[0].flags), wire::LICTOR_FIELD_RETURN_COPY);
}

#[test]
fn an_expression_over_an_argument_that_was_not_kept_is_unresolved() {
    let spec = "    return: true
    returnArg: {index: 0, type: int}
    args: [{index: 0, type: int}, {index: 1, type: int}]
    selectors: [{matchArgs: [{args: [0, 1], operator: CelExpr, values: [arg0 == arg1]}]}]
";
    let ColumnTable::Expression(expressions) = &at_run(spec).columns[0].table else { panic!("none") };
    assert_eq!(expressions[0].unread, 0b11);
    let at_begin = spec.replacen("    return: true\n    returnArg: {index: 0, type: int}\n", "", 1);
    let ColumnTable::Expression(expressions) = &at_run(&at_begin).columns[0].table else { panic!("none") };
    assert_eq!(expressions[0].unread, 0);
}

/// The fields of a hook with these arguments, at `run` or at a probe: source, steps, whether it is an address.
fn members(hook: &str, args: &str) -> Result<Vec<(u32, Vec<i32>, bool)>, String> {
    let spec = format!("  {hook}\n    btfPath: /lib/program.btf\n    args: [{args}]\n");
    let compiled = compile(&[policy("p", &spec)], &facts());
    if let Some(refusal) = compiled.refusals.first() {
        return Err(refusal.to_string());
    }
    let steps = |field: &lictor_field_shape| field.steps[..usize::from(field.step_count)].to_vec();
    let address = |flags: u8| u32::from(flags) & wire::LICTOR_FIELD_ADDRESS != 0;
    let fields = compiled.plan.hooks[0].shape.fields.iter();
    Ok(fields.map(|field| (field.source.into(), steps(field), address(field.flags))).collect())
}

const RUN: &str = "uprobes:\n  - path: /bin/program\n    symbols: [run]";
const STEP: &str = "usdts:\n  - path: /bin/program\n    provider: app\n    name: step";

#[test]
fn members_of_a_programs_structures_are_reached_from_its_arguments() {
    let of = |arg: &str| members(RUN, arg);
    // By the type that the file tells of the function's parameter.
    assert_eq!(of("{index: 0, type: auto, resolve: peer.port}"), Ok(vec![(0, vec![24, 0], false)]));
    assert_eq!(of("{index: 0, type: string, resolve: name}"), Ok(vec![(0, vec![4], true)]));
    assert_eq!(of("{index: 0, type: string, resolve: peer.host}"), Ok(vec![(0, vec![24, 8], false)]));
    assert_eq!(
        of("{index: 0, type: int64, resolve: 'peer.last.sizes[1]'}"),
        Ok(vec![(0, vec![24, 16, 40], false)])
    );
    // By the one that the policy tells.
    assert_eq!(of("{index: 2, type: auto, btfType: peer, resolve: port}"), Ok(vec![(2, vec![0], false)]));
    let returned = "{index: 0, type: int}]\n    return: true\n    returnArg: {index: 0, type: auto, resolve: port}\n    tags: [ab";
    assert_eq!(of(returned), Ok(vec![(0, vec![], false), (wire::LICTOR_SOURCE_RETURN, vec![0], false)]));
    // What is beside stays the kernel's.
    let task = "{index: 0, type: auto, resolve: code}]\n    data: [{index: 0, type: string, source: current_task, resolve: comm}";
    assert_eq!(of(task).map(|fields| fields[1].0), Ok(wire::LICTOR_SOURCE_TASK));
}

#[test]
fn members_are_reached_from_what_a_probe_names() {
    // At one place in a register after two words of memory, at the other in `r12`: the way goes on from there.
    let found = members(STEP, "{index: 1, type: auto, btfType: request, resolve: peer.port}");
    assert_eq!(found, Ok(vec![(wire::LICTOR_SOURCE_REGISTERS, vec![32, -16, 24, 0], false)]));
    let refused = |arg: &str, why: &str| {
        let found = members(STEP, arg);
        assert!(found.as_ref().is_err_and(|text| text.contains(why)), "{found:?}");
    };
    refused(
        "{index: 2, type: auto, btfType: request, resolve: code}",
        "found resolve on index 2 of app:step of /bin/program, a constant",
    );
    refused("{index: 0, type: auto, btfType: request, resolve: code}", "app:step of /bin/program, int32_t");
    let ten = "last.peer.last.peer.last.peer.last.peer.last.code";
    refused(
        &format!("{{index: 1, type: auto, btfType: peer, resolve: {ten}}}"),
        "more pointers than programs follow",
    );
}

#[test]
fn what_a_programs_types_do_not_have_is_told_by_name() {
    let refused = |arg: &str, wanted: &str| {
        let found = members(RUN, arg);
        assert!(found.as_ref().is_err_and(|text| text.contains(wanted)), "{found:?}");
    };
    refused(
        "{index: 0, type: auto, resolve: pere.port}",
        "found the member pere of struct request; allowed: members that it has in `/lib/program.btf`; did you mean `peer`?",
    );
    refused(
        "{index: 0, type: auto, btfType: requst, resolve: code}",
        "found struct requst; allowed: structures that `/lib/program.btf` describes; did you mean `request`?",
    );
    refused(
        "{index: 1, type: auto, resolve: code}",
        "found resolve on index 1, of type int; allowed: pointers to structures; name the structure that it points to in `btfType`",
    );
    refused(
        "{index: 4, type: auto, resolve: code}",
        "found resolve on index 4, whose type `/lib/program.btf` does not tell",
    );
    refused("{index: 0, type: file, resolve: peer}", "its type is struct peer *");
    let at = |file: &str| {
        let spec = format!(
            "  uprobes:\n  - {{path: /bin/program, symbols: [run, run+4], btfPath: {file}, args: [{{index: 0, type: auto, btfType: peer, resolve: port}}]}}\n"
        );
        outcome(&spec)
    };
    assert_eq!(
        at("/lib/text").0,
        ["policy p: spec.uprobes[0].btfPath: found the file `/lib/text`, which is no BTF: no BTF header; \
          allowed: BTF, in a file of its own or in the section .BTF of an ELF file; \
          `pahole -J --btf_encode_detached=FILE PROGRAM` makes it of a program with debugging information"]
    );
    assert_eq!(
        at("/lib/none").0,
        ["policy p: spec.uprobes[0].btfPath: found the file `/lib/none`; allowed: files of the node; \
          paths are those of the node, not of a container"]
    );
    assert_eq!(at("/lib/none, ignore: {callNotFound: true}").1.len(), 1);
}

#[test]
fn a_file_with_types_that_changes_is_asked_again() {
    let spec = format!(
        "  {RUN}\n    btfPath: /lib/program.btf\n    args: [{{index: 0, type: auto, resolve: code}}]\n"
    );
    let compiled = compile(&[policy("p", &spec)], &facts());
    assert_eq!(compiled.refusals, []);
    // Each made-up node has read the file by itself.
    assert!(compiled.answers.have_changed(&*facts().symbols));
    let facts = facts();
    let compiled = compile(&[policy("p", &spec)], &facts);
    assert!(!compiled.answers.have_changed(&*facts.symbols));
}

/// An uprobe at the made-up program that does this.
fn overriding(place: &str, action: &str) -> String {
    format!(
        "  uprobes:\n  - {{path: /bin/program, {place}, selectors: [{{matchActions: [{{action: Override, {action}}}]}}]}}\n"
    )
}

#[test]
fn registers_are_written_by_a_program_of_another_kind() {
    let spec = overriding("symbols: [run]", "argRegs: [rax=11, \"rdi=8(%rsp)\"]");
    let reports = "  uprobes:\n  - {path: /bin/program, symbols: [run]}\n";
    let compiled = compile(&[policy("p", &spec), policy("q", reports)], &facts());
    assert_eq!(compiled.refusals, []);
    let points: Vec<String> = compiled.plan.hooks.iter().map(|hook| hook.point.to_string()).collect();
    assert_eq!(points, ["uprobe//bin/program:0x1000", "uprobe_registers//bin/program:0x1000"]);
    let hook = &compiled.plan.hooks[1];
    assert_eq!(
        hook.reason,
        "uprobe_registers on /bin/program:0x1000, run of /bin/program: a rule writes registers"
    );
    assert_eq!(hook.rules[0].flags, wire::LICTOR_RULE_RECORD | wire::LICTOR_RULE_REGISTERS);
    assert_eq!(hook.rules[0].assignments.len(), 2);
    let point = hook.point.clone();
    let slots = compiled.plan.hooks.iter().map(|hook| hook.point.clone()).zip(0..).collect();
    let shapes = compiled.plan.hooks.iter().map(|hook| hook.point.clone()).zip(1..).collect();
    let tables = layout(&compiled.plan, &slots, &shapes, &[0, 1]).unwrap();
    let rule = tables.hooks[usize::from(slots[&point])].rule_base as usize;
    let at = tables.rules[rule].value as usize;
    assert_eq!(tables.words[at..at + 4], *hook.rules[0].assignments.as_flattened());
}

#[test]
fn another_function_is_as_far_away_as_in_the_file() {
    for (function, distance) in
        [("argNewSymbol: run+0x20", 0x20), ("argNewOffset: 0x10", -0xff0), ("argNewAddr: 4112", 16)]
    {
        let compiled = compile(&[policy("p", &overriding("symbols: [run]", function))], &facts());
        assert_eq!(compiled.refusals, []);
        let rule = &compiled.plan.hooks[0].rules[0];
        let [[_, number]] = rule.assignments[..] else { panic!("{rule:?}") };
        assert_eq!(number.cast_signed(), distance, "{function}");
        // It may be elsewhere in the next version of the file.
        assert!(!compiled.answers.have_changed(&*facts().symbols));
        assert!(compiled.answers.have_changed(&Changed::Places));
    }
    let (refusals, ..) = outcome(&overriding("symbols: [run]", "argNewSymbol: walk"));
    assert!(refusals[0].contains("place `walk` of the file `/bin/program`"), "{refusals:?}");
    let (refusals, ..) = outcome(&overriding("symbols: [run+4]", "argError: 1"));
    assert_eq!(
        refusals,
        ["policy p: spec.uprobes[0].selectors[0]: found `argError` within a function; \
          allowed: the beginning of a function; only there it can return at once"]
    );
}

#[test]
fn kernels_that_let_nobody_write_registers_are_told_by_name() {
    let old = NodeFacts { symbols: std::sync::Arc::new(FakeSymbols::default()), ..facts() };
    let spec = overriding("symbols: [run]", "argError: 1");
    let compiled = compile(&[policy("p", &spec)], &old);
    let refusals: Vec<String> = compiled.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        refusals,
        ["policy p: spec.uprobes[0]: found Override at a function of a program, on kernel 6.12.95-test; \
          allowed: kernels that let BPF programs write a program's registers: Linux 6.18 and newer; \
          `Sigkill` ends the program before the function runs"]
    );
}

#[test]
fn monitor_mode_writes_no_registers() {
    let spec = format!("  mode: monitor\n{}", overriding("symbols: [run]", "argError: 1"));
    let compiled = compile(&[policy("p", &spec)], &facts());
    let flags = compiled.plan.hooks[0].rules[0].flags;
    assert_eq!(flags, wire::LICTOR_RULE_RECORD | wire::LICTOR_RULE_REGISTERS | wire::LICTOR_RULE_MONITOR);
}
