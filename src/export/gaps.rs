//! A histogram of the gaps inside of streams, which counts many equal ones in one step: parts of an
//! answer that come together have no gap between them, and there may be fifty of them at once. The
//! library's histogram takes a lock for each.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NativeHistogram, NoLabelSet};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::native::NativeBuckets;
use crate::record::ContentChunks;

/// A [`GapHistogram`] for each label set.
pub(super) type GapHistograms<S> = Family<S, GapHistogram, fn() -> GapHistogram>;

/// A histogram of gaps, in seconds.
#[derive(Debug, Clone)]
pub(super) struct GapHistogram(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
    sum: f64,
    count: u64,
    /// The upper edge of each bucket, and how many gaps fell into it and into no bucket before it.
    buckets: Box<[(f64, u64)]>,
    native: NativeBuckets,
    begun: SystemTime,
}

impl GapHistogram {
    /// A histogram with these upper edges, which grow, and a last bucket without one.
    pub(super) fn new(edges: &[f64]) -> Self {
        let edges = edges.iter().copied().chain([f64::INFINITY]);
        Self(Arc::new(Mutex::new(Counts {
            sum: 0.0,
            count: 0,
            buckets: edges.map(|edge| (edge, 0)).collect(),
            native: NativeBuckets::new(),
            begun: SystemTime::now(),
        })))
    }

    /// Counts the gaps before parts of an answer: those that came together have none between them.
    pub(super) fn observe(&self, chunks: &ContentChunks) {
        let together = u64::try_from(chunks.count.saturating_sub(1)).unwrap_or(u64::MAX);
        let mut counts = self.counts();
        counts.add(chunks.gap.as_secs_f64(), 1);
        if together > 0 {
            counts.add(0.0, together);
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Adds so many gaps of the same length.
    #[expect(
        clippy::cast_precision_loss,
        reason = "so many parts never come at once that it matters"
    )]
    fn add(&mut self, gap: f64, times: u64) {
        self.sum += gap * times as f64;
        self.count += times;
        if let Some((_, count)) = self.buckets.iter_mut().find(|(edge, _)| *edge >= gap) {
            *count += times;
        }
        self.native.add(gap, times);
    }
}

impl TypedMetric for GapHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for GapHistogram {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let counts = self.counts();
        let native = counts.native.encoded();
        encoder.encode_histogram_with_native::<NoLabelSet>(
            counts.sum,
            counts.count,
            &counts.buckets,
            None,
            NativeHistogram {
                created: Some(counts.begun),
                ..native.view()
            },
        )
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::prometheus_protobuf::encode;
    use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::Histogram;
    use prometheus_client::registry::{Metric, Registry};
    use proptest::prelude::*;

    use super::*;
    use crate::export::native;
    use crate::record::{Model, Operation, Provider};

    const EDGES: [f64; 3] = [0.001, 0.5, 2.0];

    /// What is exported of it, but when it began.
    fn exported(metric: impl Metric) -> Histogram {
        let mut registry = Registry::default();
        registry.register("gap", "Gaps", metric);
        let families = encode(&registry).unwrap();
        let histogram = families[0].metric[0].histogram.clone().unwrap();
        assert!(histogram.start_timestamp.is_some());
        Histogram {
            start_timestamp: None,
            ..histogram
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::usual())]

        #[test]
        fn many_at_once_count_as_the_librarys_own_counts_them_one_by_one(
            gaps in prop::collection::vec((0..20_000_000_000_u64, 1..20_usize), 0..2_000)
        ) {
            let (ours, theirs) = (GapHistogram::new(&EDGES), native::histogram(EDGES));
            for (nanoseconds, count) in gaps {
                let gap = Duration::from_nanos(nanoseconds);
                ours.observe(&ContentChunks {
                    provider: Provider::Gemini,
                    operation: Operation::Chat,
                    model: Model::from_wire("model"),
                    gap,
                    count,
                });
                theirs.observe(gap.as_secs_f64());
                (1..count).for_each(|_| theirs.observe(0.0));
            }
            prop_assert_eq!(exported(ours), exported(theirs));
        }
    }
}
