//! The colour and pattern of a model: the same in every chart and table, today and after a restart,
//! since they follow from its name alone.

use std::collections::{HashMap, HashSet};

use crate::record::Model;

/// A colour of the palette and a pattern over it, by their numbers in the style sheet. Nobody needs
/// to tell colours apart: patterns, the order and the names say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    colour: usize,
    pattern: usize,
}

impl Mark {
    /// Of what is no single model.
    pub(super) const OTHERS: Self = Self {
        colour: COLOURS,
        pattern: 0,
    };

    /// The mark that a name has unless another one of the page has it.
    fn of(name: &str) -> Self {
        let hash = fnv1a(name.as_bytes());
        // The lower bits alone follow from those of the characters: similar names would be alike.
        let hash = hash ^ (hash >> 32);
        let place = |count: usize, hash: u64| {
            usize::try_from(hash % u64::try_from(count).unwrap_or(1)).unwrap_or_default()
        };
        Self {
            colour: place(COLOURS, hash),
            pattern: place(PATTERNS, hash / 8),
        }
    }

    pub(super) fn colour(self) -> usize {
        self.colour
    }

    pub(super) fn pattern(self) -> usize {
        self.pattern
    }

    /// A small square in the colour and pattern, which stands before a name.
    pub(super) fn key(self) -> String {
        format!(
            "<i class=\"key c{} p{}\" aria-hidden=\"true\"></i>",
            self.colour, self.pattern
        )
    }
}

/// The marks of all models of a page.
#[derive(Debug, Default)]
pub(super) struct Marks(HashMap<Model, Mark>);

impl Marks {
    /// Where two models would look the same, the later one in the order of names has the next free
    /// pattern; its colour stays.
    pub(super) fn of<'a>(models: impl Iterator<Item = &'a Model>) -> Self {
        let mut models: Vec<_> = models.collect();
        models.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        let (mut marks, mut taken) = (HashMap::new(), HashSet::new());
        for model in models {
            let first = Mark::of(model.as_str());
            let next = |step| Mark {
                pattern: (first.pattern + step) % PATTERNS,
                ..first
            };
            let free = (0..PATTERNS).map(next).find(|mark| !taken.contains(mark));
            let mark = free.unwrap_or(first);
            taken.insert(mark);
            marks.insert(model.clone(), mark);
        }
        Self(marks)
    }

    pub(super) fn get(&self, model: &Model) -> Mark {
        self.0
            .get(model)
            .copied()
            .unwrap_or_else(|| Mark::of(model.as_str()))
    }
}

/// The hash FNV-1a, which is the same in every version of the program, unlike that of a hash map.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// As many as can be told apart and have a contrast of 3:1 to the ground in both themes; the style
/// sheet has them as `c0` to `c7`, and `c8` for all others.
const COLOURS: usize = 8;

/// `p0` is plain; `p1` to `p4` are lines and dots.
pub(super) const PATTERNS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: &str = include_str!("page.css");

    #[test]
    fn a_name_has_the_same_mark_for_ever() {
        // FNV's published test vectors.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        let model = Model::from_wire("gemini-3-pro");
        let alone = Marks::of([&model].into_iter()).get(&model);
        let others: Vec<_> = (0..3).map(|n| Model::from_wire(&format!("x{n}"))).collect();
        let among = Marks::of(others.iter().chain([&model])).get(&model);
        assert_eq!(alone.colour, among.colour);
        assert_eq!(alone, Mark::of("gemini-3-pro"));
    }

    #[test]
    fn models_of_a_page_look_different() {
        // As many as fit: for each colour no more than there are patterns.
        let (mut models, mut of_colour) = (Vec::new(), [0; COLOURS]);
        for model in (0..200).map(|n| Model::from_wire(&format!("model-{n}"))) {
            let of_colour = &mut of_colour[Mark::of(model.as_str()).colour];
            if *of_colour < PATTERNS {
                *of_colour += 1;
                models.push(model);
            }
        }
        assert_eq!(models.len(), COLOURS * PATTERNS, "every colour is in use");
        let marks = Marks::of(models.iter());
        let different: HashSet<_> = models.iter().map(|model| marks.get(model)).collect();
        assert_eq!(different.len(), models.len());
    }

    /// The relative luminance of a colour such as `#3b5bdb` (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = u8::from_str_radix(&colour[at..at + 2], 16).expect("six digits");
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// The value of a variable of a theme.
    fn variable<'a>(theme: &'a str, name: &str) -> &'a str {
        let (_, rest) = theme
            .split_once(&format!("--{name}:"))
            .unwrap_or_else(|| panic!("--{name}"));
        rest.split(';').next().expect("an end").trim()
    }

    #[test]
    fn colours_stand_out_from_the_ground_in_both_themes() {
        let (light, dark) = STYLE
            .split_once("@media (prefers-color-scheme: dark)")
            .expect("two themes");
        let dark = &dark[..dark.find("}\n}").expect("its end")];
        for theme in [light, dark] {
            let ground = variable(theme, "sheet");
            for colour in (0..=COLOURS).map(|number| format!("c{number}")) {
                let contrast = contrast(variable(theme, &colour), ground);
                assert!(contrast >= 3.0, "{colour}: {contrast}");
            }
            // Text needs more.
            for name in ["ink", "soft", "good", "bad", "low", "accent"] {
                for ground in ["sheet", "ground"] {
                    let contrast = contrast(variable(theme, name), variable(theme, ground));
                    assert!(contrast >= 4.5, "{name} on {ground}: {contrast}");
                }
            }
        }
        for pattern in 1..PATTERNS {
            assert!(STYLE.contains(&format!(".p{pattern} ")), "p{pattern}");
        }
    }
}
