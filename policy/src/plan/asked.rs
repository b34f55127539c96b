//! What a rule asks of the columns of a hook point.

use super::columns::{Test, network_keys};
use super::fields::Field;
use crate::model::{EndpointsPart, EndpointsTest, EndpointsValues};
use lictor_node_worker_ebpf as wire;
use lictor_node_worker_ebpf::{lictor_column_kind as column, lictor_column_source as from};

/// A table of a hook point, in an order that does not depend on who asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ColumnKey {
    pub(super) kind: u8,
    pub(super) source: u8,
    pub(super) field: Option<Field>,
    /// Columns of the same value beyond the first, see [`Test::stands_alone`].
    pub(super) ordinal: u8,
}

/// Where a column's value comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Field(Field),
    /// The type of the file behind a field.
    FileType(Field),
    /// Part of the endpoints behind a field.
    Endpoints(Field, EndpointsPart),
    /// Several fields.
    Fields,
    Process(from::Type),
}

impl Source {
    pub(super) fn is_path(self) -> bool {
        use wire::lictor_field_kind as kind;
        match self {
            Self::Process(_) => true,
            Self::FileType(_) | Self::Endpoints(..) | Self::Fields => false,
            Self::Field(field) => matches!(
                u32::from(field.kind),
                kind::LICTOR_FIELD_FILE
                    | kind::LICTOR_FIELD_FD
                    | kind::LICTOR_FIELD_PATH
                    | kind::LICTOR_FIELD_DENTRY
                    | kind::LICTOR_FIELD_BINPRM
            ),
        }
    }
}

/// The tests of one rule.
#[derive(Debug, Default)]
pub(super) struct Tests(Vec<(ColumnKey, Test)>);

impl Tests {
    pub(super) fn add(&mut self, kind: column::Type, source: Source, test: Test) {
        let (source, field) = match source {
            Source::Field(field) => (from::LICTOR_FROM_FIELD, Some(field)),
            Source::FileType(field) => (from::LICTOR_FROM_FILE_TYPE, Some(field)),
            Source::Endpoints(field, part) => (endpoints_source(part), Some(field)),
            Source::Fields => (from::LICTOR_FROM_FIELDS, None),
            Source::Process(source) => (source, None),
        };
        let mut key = ColumnKey { kind: kind as u8, source: source as u8, field, ordinal: 0 };
        if test.stands_alone() {
            let taken =
                |key: &ColumnKey| self.0.iter().any(|(other, test)| other == key && test.stands_alone());
            while taken(&key) && key.ordinal < u8::MAX {
                key.ordinal += 1;
            }
        }
        self.0.push((key, test));
    }

    /// All of them, in the order in which they were added.
    pub(super) fn into_list(self) -> Vec<(ColumnKey, Test)> {
        self.0
    }
}

pub(super) fn endpoints(field: Field, test: &EndpointsTest, tests: &mut Tests) {
    let source = Source::Endpoints(field, test.part);
    let negated = test.negated;
    match &test.values {
        EndpointsValues::Networks(networks) => {
            let keys = networks.iter().flat_map(|network| network_keys(*network)).collect();
            tests.add(column::LICTOR_COLUMN_TEXT_PREFIX, source, Test::Text { keys, negated });
        }
        EndpointsValues::Numbers(ranges) => {
            let ranges = ranges.iter().map(|(low, high)| (u64::from(*low), u64::from(*high))).collect();
            tests.add(column::LICTOR_COLUMN_NUMBER, source, Test::ranges(ranges, negated));
        }
    }
}

fn endpoints_source(part: EndpointsPart) -> from::Type {
    match part {
        EndpointsPart::SourceAddress => from::LICTOR_FROM_SOURCE_ADDRESS,
        EndpointsPart::DestinationAddress => from::LICTOR_FROM_DESTINATION_ADDRESS,
        EndpointsPart::SourcePort => from::LICTOR_FROM_SOURCE_PORT,
        EndpointsPart::DestinationPort => from::LICTOR_FROM_DESTINATION_PORT,
        EndpointsPart::Protocol => from::LICTOR_FROM_PROTOCOL,
        EndpointsPart::Family => from::LICTOR_FROM_FAMILY,
        EndpointsPart::State => from::LICTOR_FROM_STATE,
    }
}
