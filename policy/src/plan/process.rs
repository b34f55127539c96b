//! What rules ask of the process.

use super::asked::{Source, Tests};
use super::columns::Test;
use super::place::Placing;
use super::refusal::Problem;
use crate::model::{
    BinaryOf, BinaryTest, CapabilitySet, CapabilityTest, FieldPath, Namespace, NamespaceChangeTest,
    NamespaceTest, NamespaceValue, PidTest,
};
use lictor_node_worker_ebpf::{lictor_column_kind as column, lictor_column_source as from};

impl Placing<'_> {
    pub(super) fn binary(&mut self, test: &BinaryTest, tests: &mut Tests) {
        let source = match test.of {
            BinaryOf::Process => from::LICTOR_FROM_BINARY,
            BinaryOf::Parent => from::LICTOR_FROM_PARENT_BINARY,
            BinaryOf::Lineage => from::LICTOR_FROM_LINEAGE,
        };
        if test.of != BinaryOf::Lineage {
            self.text(&test.at, Source::Process(source), &test.test, tests);
        } else if self.texts(&test.at, &test.test) {
            let paths = test.test.values.clone();
            let test = Test::Lineage { paths, negated: test.test.negated };
            tests.add(column::LICTOR_COLUMN_LINEAGE, Source::Process(source), test);
        }
    }

    pub(super) fn namespace(&mut self, test: &NamespaceTest, tests: &mut Tests) {
        let mut values = Vec::with_capacity(test.values.len());
        for value in &test.values {
            match value {
                NamespaceValue::Inode(inode) => values.push(u64::from(*inode)),
                NamespaceValue::Host => match self.host_namespace(test.namespace, &test.at) {
                    Some(inode) => values.push(inode),
                    None => return,
                },
            }
        }
        let source = Source::Process(namespace_source(test.namespace));
        tests.add(column::LICTOR_COLUMN_NUMBER, source, Test::numbers(values, test.negated));
    }

    pub(super) fn capability(&mut self, test: &CapabilityTest, tests: &mut Tests) {
        let source = Source::Process(match test.set {
            CapabilitySet::Effective => from::LICTOR_FROM_CAP_EFFECTIVE,
            CapabilitySet::Permitted => from::LICTOR_FROM_CAP_PERMITTED,
            CapabilitySet::Inheritable => from::LICTOR_FROM_CAP_INHERITABLE,
        });
        tests.add(column::LICTOR_COLUMN_MASK, source, Test::Mask { bits: test.mask, negated: test.negated });
        if test.in_namespace {
            self.away_from_home(&test.at, tests);
        }
    }

    pub(super) fn capability_change(&mut self, test: &CapabilityTest, tests: &mut Tests) {
        let source = Source::Process(match test.set {
            CapabilitySet::Effective => from::LICTOR_FROM_CAP_EFFECTIVE_CHANGES,
            CapabilitySet::Permitted => from::LICTOR_FROM_CAP_PERMITTED_CHANGES,
            CapabilitySet::Inheritable => from::LICTOR_FROM_CAP_INHERITABLE_CHANGES,
        });
        let mut mask = |bits, negated| {
            tests.add(column::LICTOR_COLUMN_MASK, source, Test::Mask { bits, negated });
        };
        if test.negated {
            mask(!test.mask, false);
        }
        mask(test.mask, test.negated);
        if test.in_namespace {
            self.away_from_home(&test.at, tests);
        }
    }

    /// The process's user namespace is not the node's first one.
    fn away_from_home(&mut self, at: &FieldPath, tests: &mut Tests) {
        if let Some(inode) = self.host_namespace(Namespace::User, at) {
            let source = Source::Process(from::LICTOR_FROM_NS_USER);
            tests.add(column::LICTOR_COLUMN_NUMBER, source, Test::numbers(vec![inode], true));
        }
    }

    fn host_namespace(&mut self, namespace: Namespace, at: &FieldPath) -> Option<u64> {
        let inode = self.facts.host_namespaces.get(&namespace);
        if inode.is_none() {
            let problem = Problem::new(
                format!("the host's {namespace:?} namespace"),
                "namespaces of process 1, which this node does not tell",
            );
            self.refuse(at, problem);
        }
        inode.map(|inode| u64::from(*inode))
    }
}

pub(super) fn pid(test: &PidTest, tests: &mut Tests) {
    let source = Source::Process(if test.in_namespace {
        from::LICTOR_FROM_NAMESPACE_PID
    } else {
        from::LICTOR_FROM_PID
    });
    let values: Vec<u64> = test.values.iter().map(|pid| u64::from(*pid)).collect();
    if test.follow_forks {
        let test = Test::Ancestors { pids: values, negated: test.negated };
        tests.add(column::LICTOR_COLUMN_ANCESTORS, source, test);
    } else {
        let test = Test::numbers(values, test.negated);
        tests.add(column::LICTOR_COLUMN_NUMBER, source, test);
    }
}

pub(super) fn namespace_change(test: &NamespaceChangeTest, tests: &mut Tests) {
    let source = Source::Process(from::LICTOR_FROM_NAMESPACE_CHANGES);
    // In the order of `LICTOR_FROM_NS_*`.
    let bits = test.any_of.iter().fold(0, |bits, namespace| bits | 1 << *namespace as u32);
    tests.add(column::LICTOR_COLUMN_MASK, source, Test::Mask { bits, negated: false });
}

fn namespace_source(namespace: Namespace) -> from::Type {
    match namespace {
        Namespace::Uts => from::LICTOR_FROM_NS_UTS,
        Namespace::Ipc => from::LICTOR_FROM_NS_IPC,
        Namespace::Mnt => from::LICTOR_FROM_NS_MNT,
        Namespace::Pid => from::LICTOR_FROM_NS_PID,
        Namespace::PidForChildren => from::LICTOR_FROM_NS_PID_FOR_CHILDREN,
        Namespace::Net => from::LICTOR_FROM_NS_NET,
        Namespace::Time => from::LICTOR_FROM_NS_TIME,
        Namespace::TimeForChildren => from::LICTOR_FROM_NS_TIME_FOR_CHILDREN,
        Namespace::Cgroup => from::LICTOR_FROM_NS_CGROUP,
        Namespace::User => from::LICTOR_FROM_NS_USER,
    }
}
