//! One trace as a picture for the documentation, drawn from what a running demo has really sent:
//! `cargo test --test it traces::picture -- --ignored` writes `docs/images/trace.svg` anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gravimeter::export::otlp::Protocol;
use gravimeter::record::{Call, Fact, Model, Outcome};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::conversation::is_setup;
use super::demo::demo;
use super::facts::{first_call, place, run};
use super::{Way, config, fate};
use crate::kit::collector::{Collector, Reply, number};

const WIDTH: f64 = 1040.0;
const ROW: f64 = 28.0;
const TOP: f64 = 96.0;
/// Names stand to the left of it.
const BARS: f64 = 300.0;
/// What is said of a bar stands to the right of it; this much is room for the last one.
const WORDS: f64 = 270.0;

const STYLE: &str = "
  .card { fill: #ffffff; stroke: #d8dee4 }
  text { font: 13px ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .head { font-size: 17px; font-weight: 600 }
  .name { font: 12.5px ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace }
  .took { font-weight: 600; font-variant-numeric: tabular-nums }
  .soft { fill: #59636e; font-weight: 400 }
  .grid { stroke: #eaeef2 }
  .tree { stroke: #afb8c1; fill: none }
  .run { fill: #6e56cf }
  .call { fill: #2f81d6 }
  .failed { fill: #d1495b }
  .setup { fill: #1a936f }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d }
    text { fill: #e6edf3 }
    .soft { fill: #9198a1 }
    .grid { stroke: #21262d }
    .tree { stroke: #484f58 }
    .run { fill: #9e8cfc }
    .call { fill: #58a6ff }
    .failed { fill: #f0717f }
    .setup { fill: #3fb98f }
  }
";

/// The spans of one trace, parents before their children, each with its depth.
fn tree(spans: &[Span]) -> Vec<(usize, &Span)> {
    fn add<'a>(spans: &'a [Span], parent: &[u8], depth: usize, rows: &mut Vec<(usize, &'a Span)>) {
        let mut children: Vec<_> = spans
            .iter()
            .filter(|span| span.parent_span_id == parent)
            .collect();
        children.sort_by_key(|span| span.start_time_unix_nano);
        for span in children {
            rows.push((depth, span));
            add(spans, &span.span_id, depth + 1, rows);
        }
    }
    let mut rows = Vec::new();
    add(spans, &[], 0, &mut rows);
    rows
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn took(span: &Span) -> f64 {
    seconds(span.end_time_unix_nano - span.start_time_unix_nano)
}

fn shown(seconds: f64) -> String {
    match seconds {
        0.1.. => format!("{seconds:.2} s"),
        0.001.. => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{:.0} µs", seconds * 1e6),
    }
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| String::from_utf8_lossy(group))
        .collect();
    groups.join(",")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// What there is to say of a span beside how long it took.
fn words(span: &Span) -> String {
    let failed = span
        .status
        .as_ref()
        .map(|status| status.message.replace('_', " "));
    let tokens =
        number(span, "gen_ai.usage.input_tokens").zip(number(span, "gen_ai.usage.output_tokens"));
    let tokens =
        tokens.map(|(input, output)| format!("{} → {} tokens", grouped(input), grouped(output)));
    let calls = number(span, "gravimeter.run.calls").map(|calls| format!("{calls} calls"));
    failed
        .into_iter()
        .chain(tokens)
        .chain(calls)
        .collect::<Vec<_>>()
        .join(", ")
}

fn class(span: &Span) -> &'static str {
    match span {
        span if is_setup(&span.name) => "setup",
        span if span.status.is_some() => "failed",
        span if span.name.starts_with("invoke_agent") => "run",
        _ => "call",
    }
}

/// A round number of seconds of which four to eight fit.
fn step(total: f64) -> f64 {
    let steps = [
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0,
    ];
    steps
        .into_iter()
        .find(|step| total / step <= 8.0)
        .unwrap_or(total)
}

struct Picture {
    svg: String,
    start: u64,
    total: f64,
}

impl Picture {
    fn draw(spans: &[Span]) -> String {
        let rows = tree(spans);
        let start = spans
            .iter()
            .map(|span| span.start_time_unix_nano)
            .min()
            .expect("spans");
        let end = spans
            .iter()
            .map(|span| span.end_time_unix_nano)
            .max()
            .expect("spans");
        let mut picture = Self {
            svg: String::new(),
            start,
            total: seconds(end - start),
        };
        let height = TOP + ROW * rows.len() as f64 + 64.0;
        picture.head(&rows, height);
        picture.grid(height);
        for (row, (depth, span)) in rows.iter().enumerate() {
            let parent = rows[..row].iter().rposition(|(above, _)| above < depth);
            picture.branch(row, parent, *depth);
            picture.row(TOP + ROW * row as f64, *depth, span);
        }
        picture.legend(height - 24.0);
        picture.line(format_args!("</svg>"));
        picture.svg
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.svg, "{line}").expect("memory");
    }

    fn x(&self, seconds: f64) -> f64 {
        BARS + (WIDTH - BARS - WORDS) * seconds / self.total
    }

    fn head(&mut self, rows: &[(usize, &Span)], height: f64) {
        let top = rows[0].1;
        let told = rows
            .iter()
            .map(|(_, span)| format!("{}, {}", span.name, shown(took(span))))
            .collect::<Vec<_>>();
        let told = escaped(&told.join("; "));
        self.line(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             role=\"img\" aria-labelledby=\"title told\">\n\
             <title id=\"title\">The trace of one run of an agent: its calls and their connections, as bars over time</title>\n\
             <desc id=\"told\">{told}.</desc>\n<style>{STYLE}</style>\n\
             <rect class=\"card\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\"/>",
            WIDTH - 1.0,
            height - 1.0,
        ));
        let name = escaped(&top.name);
        self.line(format_args!(
            "<text class=\"head\" x=\"20\" y=\"34\">{name}</text>"
        ));
        let (took, words) = (shown(took(top)), escaped(&words(top)));
        let spans = rows.len();
        self.line(format_args!(
            "<text class=\"soft\" x=\"20\" y=\"55\">one message of its user: {took}, {words}, {spans} spans</text>"
        ));
    }

    fn grid(&mut self, height: f64) {
        let step = step(self.total);
        for tick in 0..=(self.total / step) as u32 {
            let (at, x) = (f64::from(tick) * step, self.x(f64::from(tick) * step));
            let bottom = height - 52.0;
            self.line(format_args!(
                "<path class=\"grid\" d=\"M{x:.1} {} V{bottom:.1}\"/>",
                TOP - 8.0
            ));
            let label = match tick {
                0 => "0".to_owned(),
                _ if step < 0.1 => format!("{:.0} ms", at * 1e3),
                _ if step < 1.0 => format!("{at:.1} s"),
                _ => format!("{at:.0} s"),
            };
            self.line(format_args!(
                "<text class=\"soft\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                TOP - 14.0
            ));
        }
    }

    /// From the parent's name to the row's own.
    fn branch(&mut self, row: usize, parent: Option<usize>, depth: usize) {
        let Some(parent) = parent else { return };
        let middle = |row: usize| TOP + ROW * (row as f64 + 0.5);
        let (x, from, to) = (9.0 + 18.0 * depth as f64, middle(parent) + 9.0, middle(row));
        self.line(format_args!(
            "<path class=\"tree\" d=\"M{x} {from:.1} V{to:.1} h8\"/>"
        ));
    }

    fn row(&mut self, y: f64, depth: usize, span: &Span) {
        let indent = 20.0 + 18.0 * depth as f64;
        let middle = y + ROW / 2.0;
        let (name, base) = (escaped(&span.name), middle + 4.5);
        self.line(format_args!(
            "<text class=\"name\" x=\"{indent}\" y=\"{base:.1}\">{name}</text>"
        ));
        let from = seconds(span.start_time_unix_nano - self.start);
        let (left, right) = (self.x(from), self.x(from + took(span)));
        // What took next to no time must still be seen.
        let width = (right - left).max(3.0);
        let (class, top, high) = (class(span), y + 6.0, ROW - 12.0);
        self.line(format_args!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{high}\" rx=\"2\"/>"
        ));
        let (at, took, words) = (left + width + 8.0, shown(took(span)), escaped(&words(span)));
        self.line(format_args!(
            "<text class=\"took\" x=\"{at:.1}\" y=\"{base:.1}\">{took} <tspan class=\"soft\">{words}</tspan></text>"
        ));
    }

    fn legend(&mut self, y: f64) {
        let parts = [
            ("run", "run", 56.0),
            ("call", "call", 56.0),
            ("failed", "ended in an error", 138.0),
        ];
        let mut x = 20.0;
        for (class, words, width) in
            parts
                .into_iter()
                .chain([("setup", "what its connection took to open", 0.0)])
        {
            let top = y - 10.0;
            self.line(format_args!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"12\" height=\"12\" rx=\"2\"/>\
                 <text class=\"soft\" x=\"{}\" y=\"{y}\">{words}</text>",
                x + 18.0
            ));
            x += 18.0 + width;
        }
    }
}

/// The trace that shows most: a run with a new connection, a failure among a handful of calls, and
/// more than one model.
fn telling(spans: Vec<Span>) -> Vec<Span> {
    let mut traces: BTreeMap<Vec<u8>, Vec<Span>> = BTreeMap::new();
    spans
        .into_iter()
        .for_each(|span| traces.entry(span.trace_id.clone()).or_default().push(span));
    let worth = |spans: &Vec<Span>| {
        let count = |is: fn(&Span) -> bool| spans.iter().filter(|span| is(span)).count();
        let calls = count(|span| class(span) != "setup" && class(span) != "run");
        let names: BTreeSet<_> = spans
            .iter()
            .filter(|span| class(span) == "call")
            .map(|span| &span.name)
            .collect();
        (
            spans.iter().any(|span| {
                class(span) == "run" && number(span, "gravimeter.run.calls") == Some(calls as u64)
            }),
            count(|span| class(span) == "setup") == 3,
            count(|span| class(span) == "failed") == 1,
            names.len() > 1,
            (4..=8).contains(&calls),
            calls,
        )
    };
    traces.into_values().max_by_key(worth).expect("a trace")
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images/trace.svg")
}

/// What an XML parser of other people's making says against it.
fn complaint(svg: &str) -> String {
    let mut python = Command::new("python3");
    python.args([
        "-c",
        "import sys, xml.dom.minidom; xml.dom.minidom.parseString(sys.stdin.buffer.read())",
    ]);
    let mut child = python
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(svg.as_bytes())
        .expect("a reader");
    String::from_utf8(child.wait_with_output().expect("an end").stderr).expect("text")
}

#[tokio::test]
#[ignore = "writes docs/images/trace.svg"]
async fn draw() {
    let collector = Collector::start(&[Reply::Take]).await;
    demo("40s", collector.addr, &[]).await;
    std::fs::write(path(), Picture::draw(&telling(collector.all()))).expect("a writable picture");
}

#[tokio::test]
async fn a_picture_has_a_row_for_each_span() {
    let collector = Collector::start(&[Reply::Take]).await;
    let way = Way::started(&config(collector.addr, Protocol::Grpc));
    let failed = Call {
        outcome: Outcome::Truncated,
        ..first_call(2, Some(place(0x22, Some(0x99))))
    };
    let odd = Call {
        model: Model::from_wire("a<b&c"),
        ..first_call(3, Some(place(0x33, Some(0x99))))
    };
    way.state([failed, odd].map(|call| Fact::Call(Box::new(call))));
    way.state([Fact::RunEnded(Box::new(run(place(0x99, None))))]);
    assert_eq!(way.end().await, fate(9, &[]));
    let svg = Picture::draw(&collector.all());
    assert_eq!(complaint(&svg), "");
    assert_eq!(svg.matches("class=\"name\"").count(), 9);
    for (part, times) in [
        (">tcp connect</text>", 2),
        (">generate_content gemini-3-pro</text>", 1),
        (">1.50 s <", 2),
        ("truncated", 1),
    ] {
        assert_eq!(svg.matches(part).count(), times, "{part}: {svg}");
    }
    let of_nothing = complaint(&svg.replace("</svg>", ""));
    assert!(
        of_nothing.contains("ExpatError"),
        "it must be able to complain: {of_nothing}"
    );
}

#[test]
fn the_picture_of_the_documentation_is_of_today() {
    let svg = std::fs::read_to_string(path()).expect("a picture");
    assert_eq!(complaint(&svg), "");
    assert!(
        svg.contains(STYLE),
        "its style has changed: draw it anew as the head of this file says"
    );
    let names = [
        "invoke_agent antigravity",
        "generate_content gemini-",
        "tcp connect",
        "tls handshake upstream",
        "tls handshake agent",
    ];
    for name in names {
        assert!(svg.contains(&format!(">{name}")), "{name}");
    }
}
