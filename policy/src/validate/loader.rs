//! `spec.loader`: a hook that nobody has to write.

use crate::model::{
    Actions, Arg, ArgKind, FieldPath, FileType, FileTypeTest, Hook, HookTarget, IntField, IntKind,
    NumberTest, Predicate, Rule, ValueTest,
};

/// `PROT_EXEC` of `mmap(2)`.
pub(crate) const PROT_EXEC: u64 = 4;

/// Positions in the arguments of the LSM hook `mmap_file(file, reqprot, prot, flags)`. `prot` is what the mapping gets, which
/// can be more than what is asked for: `READ_IMPLIES_EXEC` makes code of all that can be read.
const FILE: u8 = 0;
const PROT: u8 = 2;

/// The hook that `loader: true` stands for: a report of each file that is mapped as code. Memory without a file has no type of
/// file, and devices hold no programs.
pub(super) fn hook(at: &FieldPath) -> Hook {
    let arg = |index, kind| Arg::passed(at.clone(), index, kind);
    let prot = ArgKind::Int(IntKind { width: 8, signed: false, shown_as: IntField::Size });
    let test = |arg, test| Predicate::Arg { at: at.clone(), arg, test };
    let regular = FileTypeTest { types: vec![FileType::Regular], negated: false };
    let predicates =
        vec![test(0, ValueTest::FileType(regular)), test(1, ValueTest::Number(NumberTest::Mask(PROT_EXEC)))];
    let actions = Actions { post: true, ..Actions::default() };
    Hook {
        at: at.clone(),
        target: HookTarget::Mapping,
        args: vec![arg(FILE, ArgKind::File), arg(PROT, prot)],
        return_arg: None,
        on_return: false,
        rules: vec![Rule { at: at.clone(), label: None, predicates, actions }],
        message: None,
        tags: Vec::new(),
        ignore_missing: false,
    }
}
