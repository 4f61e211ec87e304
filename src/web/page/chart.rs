//! How fast models generate, as a drawing: one area for each model, stacked, the last five minutes
//! from left to right.

use std::fmt::{self, Write as _};

use super::{View, escaped, grouped};
use crate::record::Model;
use crate::web::live::WINDOW_SECONDS;

pub(super) fn chart(html: &mut String, view: &View) -> fmt::Result {
    let lines = &view.live.rates.models;
    html.push_str("<h2>Generated tokens per second</h2>");
    if lines.is_empty() {
        html.push_str(
            "<p class=\"empty\">No model has generated anything in the last five minutes.</p>",
        );
        return Ok(());
    }
    let top = round_up(peak(lines.iter().map(|(_, line)| line.as_slice())));
    write!(
        html,
        "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"Generated tokens per second by model in the last five minutes, up to {}\">",
        grouped(top as u64)
    )?;
    grid(html)?;
    let mut below = vec![0.0; lines.first().map_or(0, |(_, line)| line.len())];
    for (number, (_, line)) in lines.iter().enumerate() {
        let above: Vec<_> = below
            .iter()
            .zip(line)
            .map(|(below, rate)| below + rate)
            .collect();
        area(html, number, &below, &above, top)?;
        below = above;
    }
    write!(
        html,
        "</svg><span class=\"top\">{}</span>",
        grouped(top as u64)
    )?;
    html.push_str("<span class=\"from\">5 min ago</span><span class=\"to\">now</span>");
    legend(html, lines)?;
    html.push_str(
        "<figcaption>Each call is drawn when it ends, over the time in which its answer came.</figcaption></figure>",
    );
    Ok(())
}

fn grid(html: &mut String) -> fmt::Result {
    for quarter in 1..4 {
        let y = HEIGHT * quarter / 4;
        write!(html, "<path class=\"grid\" d=\"M0 {y}H{WIDTH}\"/>")?;
    }
    Ok(())
}

/// Draws the area between two lines of as many time slots.
fn area(html: &mut String, number: usize, below: &[f64], above: &[f64], top: f64) -> fmt::Result {
    let step = WIDTH as f64 / above.len().max(1) as f64;
    let point = |(at, rate): (usize, &f64)| {
        let y = HEIGHT as f64 * (1.0 - rate / top);
        format!("{:.0} {y:.0}", (at as f64 + 0.5) * step)
    };
    let over: Vec<_> = above.iter().enumerate().map(point).collect();
    let under: Vec<_> = below.iter().enumerate().rev().map(point).collect();
    write!(
        html,
        "<path class=\"c{number}\" d=\"M{}L{}Z\"/>",
        over.join("L"),
        under.join("L")
    )
}

fn legend(html: &mut String, lines: &[(Option<Model>, Vec<f64>)]) -> fmt::Result {
    html.push_str("<ul>");
    for (number, (model, line)) in lines.iter().enumerate() {
        let name = model
            .as_ref()
            .map_or_else(|| "all others".to_owned(), |model| escaped(model.as_str()));
        let slot = WINDOW_SECONDS as f64 / line.len().max(1) as f64;
        let tokens = grouped((line.iter().sum::<f64>() * slot).round() as u64);
        write!(
            html,
            "<li><span class=\"key c{number}\"></span>{name} <small>{tokens} tokens</small></li>"
        )?;
    }
    html.push_str("</ul>");
    Ok(())
}

/// The highest sum of all lines.
fn peak<'a>(lines: impl Iterator<Item = &'a [f64]>) -> f64 {
    let mut sums: Vec<f64> = Vec::new();
    for line in lines {
        sums.resize(line.len().max(sums.len()), 0.0);
        sums.iter_mut()
            .zip(line)
            .for_each(|(sum, rate)| *sum += rate);
    }
    sums.into_iter().fold(0.0, f64::max)
}

/// The next of 1, 2, 5, 10, 20, 50, ...: a scale that is easy to read, and at rest.
fn round_up(rate: f64) -> f64 {
    let mut scale = 1.0;
    loop {
        for step in [1.0, 2.0, 5.0] {
            if rate <= step * scale || scale >= 1e12 {
                return step * scale;
            }
        }
        scale *= 10.0;
    }
}

/// The drawing's own measures; the page stretches it.
const WIDTH: u32 = 1000;
const HEIGHT: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_easy_to_read() {
        let scales = [
            (0.0, 1.0),
            (1.5, 2.0),
            (2.1, 5.0),
            (5.1, 10.0),
            (99.0, 100.0),
            (101.0, 200.0),
            (f64::MAX, 1e12),
        ];
        for (rate, scale) in scales {
            assert_eq!(round_up(rate), scale, "{rate}");
        }
    }

    #[test]
    fn areas_stand_on_one_another() {
        assert_eq!(peak([&[1.0, 2.0][..], &[3.0, 1.0]].into_iter()), 4.0);
        let mut html = String::new();
        area(&mut html, 1, &[0.0, 5.0], &[10.0, 5.0], 10.0).expect("text");
        assert_eq!(
            html,
            "<path class=\"c1\" d=\"M250 0L750 100L750 100L250 200Z\"/>"
        );
    }
}
