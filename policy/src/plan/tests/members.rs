//! Members of structures: how they are reached, and what says that they cannot be.

use super::*;
use crate::plan::Compiled;

/// What a policy with these hooks compiles to.
fn compiled(spec: &str) -> Compiled {
    let spec: Vec<String> = spec.lines().map(|line| format!("  {line}")).collect();
    compile(&[policy("p", &format!("{}\n", spec.join("\n")))], &facts())
}

/// The fields of the first hook of a policy with these hooks.
fn fields(spec: &str) -> Vec<lictor_field_shape> {
    let compiled = compiled(spec);
    assert_eq!(compiled.refusals, []);
    compiled.plan.hooks[0].shape.fields.clone()
}

/// Why a policy with these hooks is refused.
fn refused(spec: &str) -> String {
    let compiled = compiled(spec);
    let all: Vec<String> = compiled.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].clone()
}

fn on_bprm(arg: &str) -> String {
    format!("lsmhooks:\n- hook: bprm_check_security\n  args: [{{index: 0, {arg}}}]\n")
}

#[test]
fn pointers_are_followed_and_embedded_structures_are_not() {
    let comm = fields(&on_bprm("type: string, resolve: mm.owner.real_parent.comm"))[0];
    // mm, the unnamed structure at 8 with its owner at 0, real_parent, comm.
    assert_eq!((comm.step_count, &comm.steps[..5]), (4, &[0, 8, 8, 32, 0][..]));
    assert_eq!(u32::from(comm.flags), wire::LICTOR_FIELD_ADDRESS);
    assert_eq!(comm.max_length, 16);
    let path = fields(&on_bprm("type: path, resolve: file.f_path"))[0];
    assert_eq!((path.step_count, path.steps[1], u32::from(path.flags)), (2, 16, wire::LICTOR_FIELD_ADDRESS));
    let size = fields(&on_bprm("type: auto, resolve: file.f_path.dentry.d_inode.i_size"))[0];
    assert_eq!((&size.steps[..4], size.width, size.flags), (&[8, 24, 0, 8][..], 8, 1));
}

#[test]
fn values_are_read_in_their_own_width() {
    for (member, width, steps) in [
        ("type: int64, resolve: mm.owner.nice", 2, [0, 8, 92]),
        ("type: uint8, resolve: mm.owner.tgid", 1, [0, 8, 4]),
        ("type: auto, resolve: mm.owner.exit_state", 4, [0, 8, 48]),
        ("type: uint64, resolve: 'mm.owner.numbers[3]'", 8, [0, 8, 80]),
        ("type: int, resolve: 'mm.owner.table[1][2]'", 4, [0, 8, 116]),
        ("type: int, resolve: 'mm.owner.open[2]'", 4, [0, 8, 136]),
        ("type: fd, resolve: mm.owner.pid", 4, [0, 8, 0]),
    ] {
        let field = fields(&on_bprm(member))[0];
        assert_eq!((field.width, &field.steps[..3]), (width, &steps[..]), "{member}");
    }
    let uid = fields(&on_bprm("type: auto, resolve: mm.owner.cred.uid"))[0];
    assert_eq!((uid.width, uid.flags, &uid.steps[..4]), (4, 0, &[0, 8, 24, 0][..]));
}

#[test]
fn a_file_behind_a_pointer_is_not_the_file_of_the_event() {
    let spec = "lsmhooks:\n- hook: bprm_check_security\n  args: [{index: 0, type: file, resolve: file}]\n  selectors:\n  \
                - matchArgs: [{index: 0, operator: Equal, values: [/bin/a]}]\n";
    let compiled = compiled(spec);
    assert_eq!(compiled.refusals, []);
    assert_eq!(compiled.plan.hooks[0].shape.path_field, None);
}

#[test]
fn data_stand_beside_the_arguments() {
    let spec = "kprobes:\n- call: fd_install\n  syscall: false\n  args: [{index: 1, type: file}]\n  data:\n  - {index: 0, \
                type: string, source: current_task, resolve: comm}\n  selectors:\n  - matchArgs: [{index: 1, operator: \
                Equal, values: [/a]}]\n    matchData: [{index: 0, operator: Equal, values: [sh]}]\n";
    let compiled = compiled(spec);
    assert_eq!(compiled.refusals, []);
    let hook = &compiled.plan.hooks[0];
    let group = &hook.groups[0];
    assert_eq!((group.args.len(), group.data.len()), (1, 1));
    let data = hook.shape.fields[usize::from(group.data[0].field.unwrap())];
    assert_eq!((u32::from(data.source), data.step_count), (wire::LICTOR_SOURCE_TASK, 1));
    assert!(hook.shape.memo_field.is_none() && u32::from(hook.shape.flags) & wire::LICTOR_SHAPE_MEMO == 0);
}

#[test]
fn a_number_behind_a_pointer_does_not_enter_the_memo() {
    let spec = "kprobes:\n- call: fd_install\n  syscall: false\n  args: [{index: 1, type: file}]\n  data:\n  - {index: 0, \
                type: int, source: current_task, resolve: tgid}\n  selectors:\n  - matchArgs: [{index: 1, operator: \
                Equal, values: [/a]}]\n    matchData: [{index: 0, operator: Equal, values: [1]}]\n";
    let compiled = compiled(spec);
    let shape = &compiled.plan.hooks[0].shape;
    assert!(shape.path_field.is_some() && u32::from(shape.flags) & wire::LICTOR_SHAPE_MEMO == 0);
}

#[test]
fn registers_are_those_of_system_calls_and_kprobes() {
    let of = |call: &str, register: &str| {
        format!(
            "kprobes:\n- call: {call}\n  data: [{{index: 0, type: auto, source: pt_regs, resolve: {register}}}]\n"
        )
    };
    for call in ["sys_write", "do_seven\n  syscall: false"] {
        let field = fields(&of(call, "rax"))[0];
        assert_eq!(
            (u32::from(field.source), field.steps[0], field.width),
            (wire::LICTOR_SOURCE_REGISTERS, 80, 8)
        );
    }
    let text = refused(&of("fd_install\n  syscall: false", "ax"));
    assert!(text.contains("attached as fentry") && text.contains("system calls"), "{text}");
    let text = refused(&of("sys_write", "axx"));
    assert!(text.contains("register axx") && text.contains("did you mean `ax`"), "{text}");
}

#[test]
fn a_cast_names_the_structure() {
    let spec =
        |arg: &str| format!("kprobes:\n- call: vfs_read\n  syscall: false\n  args: [{{index: 1, {arg}}}]\n");
    let field = fields(&spec("type: int, btfType: task_struct, resolve: tgid"))[0];
    assert_eq!((field.source, field.steps[0], field.width), (1, 4, 4));
    let field = fields(&spec("type: file, btfType: file"))[0];
    assert_eq!(field.step_count, 0);
    let text = refused(&spec("type: int, resolve: tgid"));
    assert!(text.contains("char *") && text.contains("btfType"), "{text}");
    let text = refused(&spec("type: int, btfType: task_strukt, resolve: tgid"));
    assert!(text.contains("did you mean `task_struct`"), "{text}");
    let text = refused(
        "kprobes:\n- call: fd_install\n  syscall: false\n  args: [{index: 0, type: int, btfType: file, resolve: f_mode}]\n",
    );
    assert!(text.contains("unsigned int") && text.contains("allowed: pointers"), "{text}");
}

#[test]
fn a_cast_to_a_structure_of_a_module() {
    let spec =
        |arg: &str| format!("kprobes:\n- call: vfs_read\n  syscall: false\n  args: [{{index: 1, {arg}}}]\n");
    let field = fields(&spec(
        "type: string, btfType: net_bridge_port, btfTypeModule: bridge, resolve: br.owner.comm",
    ))[0];
    assert_eq!((field.source, field.step_count, &field.steps[..3]), (1, 3, &[0, 0, 32][..]));
    for (arg, parts) in [
        (
            "btfType: net_bridge, btfTypeModule: brigde",
            &["btfTypeModule brigde, which is not loaded", "`bridge`"],
        ),
        ("btfType: net_brige, btfTypeModule: bridge", &["structures of the module bridge", "`net_bridge`"]),
        ("btfType: net_bridge", &["struct net_bridge; allowed: structures of this kernel", ""]),
    ] {
        let text = refused(&spec(&format!("type: int, {arg}, resolve: ageing")));
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn what_cannot_be_reached_is_named() {
    for (arg, parts) in [
        ("type: string, resolve: mm.owner.com", &["the member com of struct task_struct", "`comm`"][..]),
        ("type: int, resolve: mm.owner.exit_stat", &["`exit_state`"]),
        ("type: int, resolve: mm.owner.mode", &["bit field mode of struct task_struct", "no address"]),
        ("type: int, resolve: mm.owner.in_execve", &["bit field"]),
        (
            "type: int, resolve: mm.owner.numbers",
            &["mm.owner.numbers, an array (long int[4])", "`mm.owner.numbers[0]`"],
        ),
        ("type: int, resolve: 'mm.owner.numbers[4]'", &["element 4 in mm.owner.numbers[4]", "0 to 3"]),
        ("type: int, resolve: mm.owner.pid.x", &["a member of mm.owner.pid, whose type is int"]),
        ("type: int, resolve: mm.owner.table.x", &["an array"]),
        ("type: int, resolve: 'mm.owner.pid[1]'", &["mm.owner.pid[1], an element of what is of type int"]),
        ("type: int, resolve: 'mm.root.mnt[1]'", &["an element of what is of type void *"]),
        ("type: file, resolve: mm.owner.comm", &["string, char_buf", "char[16]"]),
        ("type: string, resolve: mm.owner.pid", &["integer types", "its type is int"]),
        ("type: auto, resolve: file.f_inode", &["struct inode * cannot be shown by itself"]),
        ("type: auto, resolve: mm.owner.tag", &["unsigned char[4] cannot be shown by itself"]),
    ] {
        let text = refused(&on_bprm(arg));
        assert!(parts.iter().all(|part| text.contains(part)), "{arg}: {text}");
    }
}

#[test]
fn pointers_can_be_arrays() {
    let field = fields(&on_bprm("type: int, resolve: 'mm.owner.files[2].f_mode'"))[0];
    // Two files of 48 bytes, then the mode of the third one.
    assert_eq!((field.step_count, &field.steps[..4]), (4, &[0, 8, 120, 136][..]));
}
