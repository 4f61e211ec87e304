//! Closed label sets: an enum whose every variant has one fixed text.

/// A value from a closed set that may become a label, a JSON string or a span attribute.
pub trait Label: Copy + Eq + 'static {
    /// Every member of the set, so that series exist before their first event.
    const ALL: &'static [Self];

    /// The text under which the value is exported.
    fn as_str(self) -> &'static str;

    /// The attributes of the value, its documentation among them, as the compiler has them.
    #[cfg(test)]
    fn attributes(self) -> &'static [&'static str];

    /// The member of that text.
    fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|member| member.as_str() == text)
    }
}

/// Declares an enum together with its exported texts.
macro_rules! label {
    ($(#[$meta:meta])* $visibility:vis enum $Name:ident { $($(#[$variant_meta:meta])* $Variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility enum $Name {
            $($(#[$variant_meta])* $Variant,)+
        }

        impl $crate::record::Label for $Name {
            const ALL: &'static [Self] = &[$(Self::$Variant),+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Variant => $text,)+
                }
            }

            #[cfg(test)]
            fn attributes(self) -> &'static [&'static str] {
                match self {
                    $(Self::$Variant => &[$(stringify!($variant_meta)),*],)+
                }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::record::Label::as_str(*self))
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($crate::record::Label::as_str(*self))
            }
        }
    };
}

pub(crate) use label;
