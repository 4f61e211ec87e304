//! How fast models generate, as a drawing: one area for each model, stacked, the last five minutes
//! from left to right. The page's script reads the values of a moment from it.

use std::fmt::{self, Write as _};

use super::View;
use super::html::{escaped, grouped, heading};
use super::marks::{Mark, Marks};
use crate::record::Model;
use crate::web::live::{Rates, SLOT_SECONDS, WINDOW_SECONDS};

pub(super) fn chart(html: &mut String, view: &View<'_>) -> fmt::Result {
    let rates = &view.live.rates;
    heading(html, "Generated tokens per second", Some("/v1/live"))?;
    if rates.models.is_empty() {
        return html.write_str(
            "<p class=\"empty\">No model has generated anything in the last five minutes.</p>",
        );
    }
    let top = round_up(peak(rates.models.iter().map(|(_, line)| line.as_slice())));
    html.push_str("<figure><div class=\"axes\">");
    levels(html, top)?;
    plot(html, rates, &view.marks, top)?;
    times(html, view)?;
    html.push_str(
        "</div><p class=\"reading\">Point at the chart, or select it and press ← or →, for the values of a moment.</p>",
    );
    legend(html, &rates.models, &view.marks)?;
    html.write_str(
        "<figcaption>Each call is drawn when it ends, over the time in which its answer came.</figcaption></figure>",
    )
}

/// The labels of the vertical axis, from the top down.
fn levels(html: &mut String, top: f64) -> fmt::Result {
    html.push_str("<div class=\"levels\" aria-hidden=\"true\">");
    for level in [top, top / 2.0, 0.0] {
        let digits = usize::from(level.fract() > 0.0);
        let level = if digits == 0 {
            grouped(level as u64)
        } else {
            format!("{level:.digits$}")
        };
        write!(html, "<span>{level}</span>")?;
    }
    html.write_str("</div>")
}

/// The labels of the horizontal axis: how long ago, and the time of both ends.
fn times(html: &mut String, view: &View<'_>) -> fmt::Result {
    html.push_str("<div class=\"times\" aria-hidden=\"true\">");
    for ago in (0..=WINDOW_SECONDS / 60).rev() {
        match ago {
            0 => write!(
                html,
                "<span>now, {} {}</span>",
                view.reader.short(view.now, view.now),
                view.reader.zone_at(view.now)
            )?,
            _ => write!(html, "<span>{ago} min ago</span>")?,
        }
    }
    html.write_str("</div>")
}

fn plot(html: &mut String, rates: &Rates, marks: &Marks, top: f64) -> fmt::Result {
    // The slider is how a keyboard reaches the moments of the chart.
    write!(
        html,
        "<div class=\"plot\" tabindex=\"0\" role=\"slider\" aria-label=\"Generated tokens per second of the last five minutes\" \
         aria-valuemin=\"0\" aria-valuemax=\"{}\" aria-valuenow=\"0\" aria-valuetext=\"no moment is selected\" \
         data-end=\"{}\" data-step=\"{SLOT_SECONDS}\" data-rates=\"",
        rates.slots().saturating_sub(1),
        rates.end,
    )?;
    values(html, rates)?;
    write!(
        html,
        "\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
    )?;
    for half in 0..2 {
        write!(
            html,
            "<path class=\"grid\" d=\"M0 {}H{WIDTH}\"/>",
            HEIGHT * half / 2
        )?;
    }
    let mut below = vec![0.0; rates.slots()];
    for (model, line) in &rates.models {
        let above: Vec<_> = below
            .iter()
            .zip(line)
            .map(|(below, rate)| below + rate)
            .collect();
        area(html, mark(marks, model.as_ref()), &below, &above, top)?;
        below = above;
    }
    html.write_str("<path class=\"cursor\"/></svg></div>")
}

/// The rates as the script reads them: a list for each model, in tenths where that matters.
fn values(html: &mut String, rates: &Rates) -> fmt::Result {
    html.push('[');
    for (number, (_, line)) in rates.models.iter().enumerate() {
        html.push_str(if number == 0 { "[" } else { ",[" });
        for (at, rate) in line.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(html, "{comma}{}", (rate * 10.0).round() / 10.0)?;
        }
        html.push(']');
    }
    html.write_str("]")
}

fn mark(marks: &Marks, model: Option<&Model>) -> Mark {
    model.map_or(Mark::OTHERS, |model| marks.get(model))
}

/// Draws the area between two lines of as many time slots: in its colour, and its pattern over it.
fn area(html: &mut String, mark: Mark, below: &[f64], above: &[f64], top: f64) -> fmt::Result {
    let step = WIDTH as f64 / above.len().max(1) as f64;
    let point = |(at, rate): (usize, &f64)| {
        let y = HEIGHT as f64 * (1.0 - rate / top);
        format!("{:.0} {y:.0}", (at as f64 + 0.5) * step)
    };
    let over: Vec<_> = above.iter().enumerate().map(point).collect();
    let under: Vec<_> = below.iter().enumerate().rev().map(point).collect();
    let path = format!("M{}L{}Z", over.join("L"), under.join("L"));
    write!(
        html,
        "<path class=\"area c{}\" d=\"{path}\"/>",
        mark.colour()
    )?;
    if mark.pattern() > 0 {
        write!(
            html,
            "<path fill=\"url(#p{})\" d=\"{path}\"/>",
            mark.pattern()
        )?;
    }
    Ok(())
}

/// The models from the top of the stack down, with what the drawing shows of them.
fn legend(html: &mut String, lines: &[(Option<Model>, Vec<f64>)], marks: &Marks) -> fmt::Result {
    html.push_str("<ul class=\"legend\">");
    for (number, (model, line)) in lines.iter().enumerate().rev() {
        let name = model
            .as_ref()
            .map_or_else(|| "all others".to_owned(), |model| escaped(model.as_str()));
        let tokens = (line.iter().sum::<f64>() * SLOT_SECONDS as f64).round() as u64;
        let highest = line.iter().copied().fold(0.0, f64::max).round() as u64;
        write!(
            html,
            "<li data-line=\"{number}\">{}<span class=\"name\">{name}</span> <small>{} tokens, at most {} a second</small></li>",
            mark(marks, model.as_ref()).key(),
            grouped(tokens),
            grouped(highest)
        )?;
    }
    html.write_str("</ul>")
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
        area(&mut html, Mark::OTHERS, &[0.0, 5.0], &[10.0, 5.0], 10.0).expect("text");
        assert_eq!(
            html,
            "<path class=\"area c8\" d=\"M250 0L750 100L750 100L250 200Z\"/>"
        );
    }

    #[test]
    fn axes_are_labelled_with_round_values() {
        let mut html = String::new();
        levels(&mut html, 5.0).expect("text");
        assert!(
            html.contains("<span>5</span><span>2.5</span><span>0</span>"),
            "{html}"
        );
    }

    #[test]
    fn the_script_gets_every_value() {
        let models = vec![
            (None, vec![0.0, 1.25, 1000.0]),
            (None, vec![2.0, 0.0, 0.04]),
        ];
        let mut html = String::new();
        values(&mut html, &Rates { models, end: 0 }).expect("text");
        assert_eq!(html, "[[0,1.3,1000],[2,0,0]]");
    }
}
