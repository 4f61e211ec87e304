//! Native histograms: buckets that grow exponentially and exist once something falls into them.
//!
//! Prometheus's specification of native histograms:
//! <https://prometheus.io/docs/specs/native_histograms/>.

use prometheus_client::encoding::{NativeHistogram, NativeHistogramBuckets};
use prometheus_client::metrics::histogram::{
    DEFAULT_NATIVE_HISTOGRAM_ZERO_THRESHOLD, Histogram, NativeHistogramConfig,
};

/// The resolution with which each histogram begins: 2^7 buckets for each doubling, each 0.54 %
/// wider than the one before it, so that a quantile is at most that far from a value that was
/// observed. The next lower one, with 1.09 %, would miss one percent.
const SCHEMA: i8 = 7;

/// A histogram with more buckets halves its resolution. As many cover values from 10 ms to 30
/// minutes without a hole at schema 5 (2.2 % a bucket), and as long as they have holes, at a higher
/// one: a histogram has this many buckets only once it has seen many different values, of which
/// each bucket then holds a few, so that a quantile that is interpolated in it remains right to one
/// percent. A full histogram takes 10 KB here, and 1.3 KB of a scrape.
const MAX_BUCKETS: usize = 640;

/// The lowest resolution that Prometheus knows.
const MIN_SCHEMA: i8 = -4;

/// A histogram with classic buckets, for text, and native ones.
pub(super) fn histogram(edges: impl IntoIterator<Item = f64>) -> Histogram {
    let native = NativeHistogramConfig::with_schema(SCHEMA).max_buckets(MAX_BUCKETS);
    Histogram::new_classic_and_native(edges, native)
}

/// Native buckets that count many equal values in one step, which those of the library do not; in
/// everything else they are the same.
#[derive(Debug)]
pub(super) struct NativeBuckets {
    schema: i8,
    /// 2^schema.
    buckets_per_doubling: f64,
    zeros: u64,
    /// The buckets that are not empty, by index: that with index `n` ends at 2^(n / 2^schema). In one
    /// piece of memory, because most values fall into a bucket that is there.
    positive: Vec<Bucket>,
}

/// A bucket, and how many values fell into it.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    index: i32,
    count: u64,
}

impl NativeBuckets {
    pub(super) fn new() -> Self {
        Self {
            schema: SCHEMA,
            buckets_per_doubling: f64::from(SCHEMA).exp2(),
            zeros: 0,
            positive: Vec::new(),
        }
    }

    /// Adds a value, which is not negative, so many times.
    pub(super) fn add(&mut self, value: f64, times: u64) {
        if value <= DEFAULT_NATIVE_HISTOGRAM_ZERO_THRESHOLD {
            self.zeros += times;
            return;
        }
        let index = self.index(value);
        match self
            .positive
            .binary_search_by_key(&index, |bucket| bucket.index)
        {
            Ok(place) => {
                if let Some(bucket) = self.positive.get_mut(place) {
                    bucket.count += times;
                }
            }
            Err(place) => {
                let count = times;
                self.positive.insert(place, Bucket { index, count });
                if self.positive.len() > MAX_BUCKETS && self.schema > MIN_SCHEMA {
                    self.halve_resolution();
                }
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "2^10 doublings of at most 2^7 buckets each"
    )]
    fn index(&self, value: f64) -> i32 {
        (value.log2() * self.buckets_per_doubling).ceil() as i32
    }

    /// Merges each pair of buckets that are one at the next lower schema.
    fn halve_resolution(&mut self) {
        self.schema -= 1;
        self.buckets_per_doubling = f64::from(self.schema).exp2();
        for bucket in &mut self.positive {
            bucket.index = (bucket.index + 1).div_euclid(2);
        }
        self.positive.dedup_by(|later, earlier| {
            let is_same = later.index == earlier.index;
            if is_same {
                earlier.count += later.count;
            }
            is_same
        });
    }

    /// The form in which they are exported.
    pub(super) fn encoded(&self) -> EncodedBuckets {
        let mut encoded = EncodedBuckets {
            schema: self.schema.into(),
            zeros: self.zeros,
            spans: Vec::new(),
            deltas: Vec::new(),
        };
        let (mut next, mut previous) = (0, 0);
        for &Bucket { index, count } in &self.positive {
            let gap = index - next;
            if encoded.spans.is_empty() || gap > MAX_EMPTY_BUCKETS {
                encoded.spans.push((gap, 0));
            } else {
                for _ in 0..gap {
                    encoded.append(-previous);
                    previous = 0;
                }
            }
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            encoded.append(count - previous);
            (next, previous) = (index + 1, count);
        }
        encoded
    }
}

/// Buckets as protobuf has them.
#[derive(Debug)]
pub(super) struct EncodedBuckets {
    schema: i32,
    zeros: u64,
    /// Sequences of buckets: the distance from the end of the one before, and the length.
    spans: Vec<(i32, u32)>,
    /// The count of each bucket of each sequence, as the difference from the one before.
    deltas: Vec<i64>,
}

impl EncodedBuckets {
    /// Adds a bucket to the last sequence.
    fn append(&mut self, delta: i64) {
        if let Some((_, len)) = self.spans.last_mut() {
            *len += 1;
        }
        self.deltas.push(delta);
    }

    /// The same for the library's encoder, without the time at which they began.
    pub(super) fn view(&self) -> NativeHistogram<'_> {
        NativeHistogram {
            schema: self.schema,
            zero_threshold: DEFAULT_NATIVE_HISTOGRAM_ZERO_THRESHOLD,
            zero_count: self.zeros,
            negative: NativeHistogramBuckets {
                spans: &[],
                deltas: &[],
            },
            positive: NativeHistogramBuckets {
                spans: &self.spans,
                deltas: &self.deltas,
            },
            created: None,
        }
    }
}

/// So many empty buckets cost less than another sequence.
const MAX_EMPTY_BUCKETS: i32 = 2;

#[cfg(test)]
mod tests;
