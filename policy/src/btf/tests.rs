pub(super) use super::builder::Builder;
use super::*;
use crate::model::MemberPath;
use crate::plan::NoWay;
use proptest::prelude::*;

pub(super) fn kernel() -> Vec<u8> {
    let mut b = Builder::new();
    let int = b.int("int", 4, true);
    let unsigned = b.int("unsigned int", 4, false);
    let long = b.int("long unsigned int", 8, false);
    let char = b.int("char", 1, true);
    let size = b.plain("size_t", 8, long);
    let file = b.structure("file");
    let file_ptr = b.plain("", 2, file);
    let const_char = b.plain("", 10, char);
    let user_char = b.plain("user", 18, const_char);
    let text = b.plain("", 2, user_char);
    let void_ptr = b.plain("", 2, 0);
    let enumeration = b.add("mode", 6, true, 1, 4, &[0, 5]);
    let big = b.add("big", 19, false, 1, 8, &[0, 1, 2]);
    let array = b.add("", 3, false, 0, 0, &[char, int, 16]);
    let wide = b.int("__int128", 16, true);
    let const_file = b.plain("", 10, file);
    let const_file_ptr = b.plain("", 2, const_file);
    b.function("fd_install", 0, &[("fd", unsigned), ("file", file_ptr)]);
    b.function("security_file_open", int, &[("file", file_ptr)]);
    b.function("bpf_lsm_file_open", int, &[("file", file_ptr)]);
    b.function(
        "vfs_read",
        size,
        &[("file", const_file_ptr), ("buf", text), ("count", size), ("pos", void_ptr)],
    );
    b.function("odd", enumeration, &[("a", big), ("b", array), ("c", wide), ("d", file), ("", 0)]);
    b.function("fd_install", int, &[]);
    b.build()
}

#[test]
fn signatures_are_those_of_the_source() {
    let btf = Btf::parse(kernel()).unwrap();
    let shown = |name| {
        let signature = btf.signature(name).unwrap();
        let all = signature.parameters.iter().chain(&signature.returns);
        all.map(|parameter| format!("{} {}: {:?}", parameter.type_name, parameter.name, parameter.class))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        shown("fd_install"),
        [
            "unsigned int fd: Integer { width: 4, signed: false }",
            "struct file * file: StructPointer(\"file\")"
        ]
    );
    assert_eq!(
        shown("vfs_read"),
        [
            "const struct file * file: StructPointer(\"file\")",
            "const char * buf: CharPointer",
            "size_t count: Integer { width: 8, signed: false }",
            "void * pos: Pointer",
            "size_t : Integer { width: 8, signed: false }",
        ]
    );
    assert_eq!(
        shown("odd"),
        [
            "enum big a: Integer { width: 8, signed: false }",
            "array b: Other",
            "__int128 c: Other",
            "struct file d: Other",
            "enum mode : Integer { width: 4, signed: true }",
        ]
    );
    assert!(btf.signature("nosuch").is_none());
}

#[test]
fn numbers_begin_at_one_and_the_first_of_a_name_wins() {
    let btf = Btf::parse(kernel()).unwrap();
    // 17 types, then a prototype before each function.
    assert_eq!(btf.function_id("fd_install"), Some(19));
    assert_eq!(btf.function_id("security_file_open"), Some(21));
    assert_eq!(btf.function_id("fd_instal"), None);
    assert_eq!(btf.functions().count(), 5);
    assert_eq!(btf.typedef_id("size_t"), Some(5));
    assert_eq!(btf.typedef_id("int"), None);
}

#[test]
fn tracepoints_are_told_by_the_type_of_their_probes() {
    let mut b = Builder::new();
    let int = b.int("int", 4, true);
    let structure = b.structure("linux_binprm");
    let (data, pointer) = (b.plain("", 2, 0), b.plain("", 2, structure));
    let names = ["__data", "old_pid", "bprm"].map(|name| b.string(name));
    let prototype = b.add("", 13, false, 3, 0, &[names[0], data, names[1], int, names[2], pointer]);
    let probe = b.plain("", 2, prototype);
    b.plain("btf_trace_sched_process_exec", 8, probe);
    let empty = b.add("", 13, false, 0, 0, &[]);
    let without = b.plain("", 2, empty);
    b.plain("btf_trace_odd", 8, without);
    let btf = Btf::parse(b.build()).unwrap();
    let signature = btf.tracepoint_signature("sched_process_exec").unwrap();
    let types: Vec<&str> = signature.parameters.iter().map(|one| one.type_name.as_str()).collect();
    assert_eq!((types, signature.returns), (vec!["int", "struct linux_binprm *"], None));
    for name in ["odd", "nosuch", ""] {
        assert_eq!(btf.tracepoint_signature(name), None);
    }
}

#[test]
fn nearest_functions_are_slips_and_whole_words() {
    let btf = Btf::parse(kernel()).unwrap();
    assert_eq!(btf.nearest_functions("fd_instal", 3), ["fd_install"]);
    assert_eq!(btf.nearest_functions("file_open", 3), ["security_file_open", "bpf_lsm_file_open"]);
    assert_eq!(btf.nearest_functions("security_flie_open", 3), ["security_file_open"]);
    assert!(btf.nearest_functions("thiscalldoesnotexist", 3).is_empty());
}

#[test]
fn damage_is_named() {
    let good = kernel();
    assert_eq!(Btf::parse(&good[..10]).unwrap_err(), BtfError::Header);
    assert_eq!(Btf::parse(&good[..good.len() - 1]).unwrap_err(), BtfError::Section("string"));
    let mut bad = Builder::new();
    bad.int("int", 4, true);
    bad.plain("x", 31, 0);
    assert_eq!(Btf::parse(bad.build()).unwrap_err(), BtfError::Kind { id: 2, kind: 31 });
    let mut cut = Builder::new();
    cut.add("s", 4, false, 9, 8, &[0, 0, 0]);
    assert_eq!(Btf::parse(cut.build()).unwrap_err(), BtfError::Truncated(1));
}

#[test]
fn circles_end() {
    let mut b = Builder::new();
    b.plain("a", 8, 2);
    b.plain("b", 8, 1);
    b.plain("", 2, 3);
    b.function("f", 1, &[("x", 3)]);
    let btf = Btf::parse(b.build()).unwrap();
    let signature = btf.signature("f").unwrap();
    assert_eq!(signature.returns.unwrap().class, TypeClass::Other);
    assert_eq!(signature.parameters[0].class, TypeClass::Pointer);
}

fn look_at_everything(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    let names: Vec<String> = btf.functions().map(str::to_owned).collect();
    for name in &names {
        let _ = btf.signature(name);
    }
    let _ = btf.nearest_functions("fd_install", 3);
    for structure in ["file", "task_struct", "linux_binprm"] {
        for path in
            ["x", "comm", "mm.owner.comm", "numbers[2]", "files[9].f_path.dentry", "table[1][1]", "mode"]
        {
            let _ = btf.member(structure, &MemberPath::parse(path).unwrap());
        }
    }
}

#[test]
fn a_structure_within_itself_is_not_looked_through_for_ever() {
    let mut b = Builder::new();
    let members: Vec<u32> = (0..100).flat_map(|_| [0, 1, 0]).collect();
    b.add("odd", 4, false, 100, 8, &members);
    let btf = Btf::parse(b.build()).unwrap();
    let path = MemberPath::parse("x").unwrap();
    assert!(matches!(btf.member("odd", &path), Err(NoWay::NoMember { .. })));
}

#[test]
fn pointers_far_away_are_refused() {
    let mut b = Builder::new();
    let word = b.int("long", 8, true);
    let far = b.add("", 3, false, 0, 0, &[word, word, 0]);
    let name = b.string("far");
    b.add("s", 4, false, 1, 8, &[name, far, 0]);
    let btf = Btf::parse(b.build()).unwrap();
    let member = |path: &str| btf.member("s", &MemberPath::parse(path).unwrap());
    assert_eq!(member("far[268435455]").unwrap().steps, [i32::MAX - 7]);
    assert_eq!(member("far[268435456]"), Err(NoWay::TooLong));
    assert_eq!(member("far[4294967295]"), Err(NoWay::TooLong));
}

#[test]
fn a_module_builds_upon_the_kernel() {
    let (kernel, bytes) = builder::kernel_and_module();
    let kernel = Arc::new(Btf::parse(kernel).unwrap());
    let module = Btf::parse_module(bytes.clone(), &kernel).unwrap();
    let way = |btf: &Btf<Vec<u8>>, structure: &str, path: &str| {
        let way = btf.member(structure, &MemberPath::parse(path).unwrap())?;
        Ok((way.steps, way.value.type_name, way.text_bytes))
    };
    let text = |steps: &[i32], name: &str, bytes| Ok((steps.to_vec(), name.to_owned(), bytes));
    // From the module's own structure into the kernel's, of which the kernel's BTF has only a name where it is led to.
    assert_eq!(way(&module, "net_bridge_port", "br.owner.comm"), text(&[0, 0, 32], "char[16]", Some(16)));
    assert_eq!(way(&module, "net_bridge_port", "port_no"), text(&[8], "int", None));
    assert_eq!(way(&module, "net_bridge", "file.f_inode.i_size"), text(&[8, 32, 8], "long int", None));
    assert_eq!(way(&module, "cred", "uid.val"), text(&[0], "unsigned int", None));
    // Of two structures of a name it is the module's where a policy names it, and the kernel's where the kernel leads to it.
    assert_eq!(way(&module, "inode", "i_of_bridge"), text(&[0], "int", None));
    assert!(matches!(way(&kernel, "net_bridge", "owner"), Err(NoWay::NoStructure { .. })));
    let missing = way(&module, "net_brigde", "owner");
    let Err(NoWay::NoStructure { nearest, .. }) = missing else { panic!("{missing:?}") };
    assert_eq!(nearest.first().map(String::as_str), Some("net_bridge"));
    let mut functions: Vec<&str> = module.functions().collect();
    functions.sort_unstable();
    assert_eq!(functions, ["br_add_if", "br_seven"]);
    let signature = module.signature("br_add_if").unwrap();
    assert_eq!(signature.parameters[0].type_name, "struct net_bridge *");
    // Without the kernel's, its numbers mean nothing.
    let alone = Btf::parse(bytes).unwrap();
    assert!(alone.member("net_bridge", &MemberPath::default()).is_err());
}

proptest! {
    #[test]
    fn any_damage_of_a_module_is_survived(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)
    ) {
        let (kernel, mut bytes) = builder::kernel_and_module();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let kernel = Arc::new(Btf::parse(kernel).unwrap());
        if let Ok(module) = Btf::parse_module(bytes, &kernel) {
            for structure in ["net_bridge", "net_bridge_port", "task_struct"] {
                let _ = module.member(structure, &MemberPath::parse("br.owner.comm").unwrap());
            }
            let _ = module.signature("br_add_if");
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        look_at_everything(&bytes);
    }

    #[test]
    fn any_damage_of_structures_is_survived(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)
    ) {
        let mut bytes = builder::kernel_and_module().0;
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        look_at_everything(&bytes);
    }

    #[test]
    fn any_damage_is_survived(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = kernel();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        look_at_everything(&bytes);
    }
}
