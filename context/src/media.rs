//! Pictures, sounds and other files.

use std::borrow::Cow;
use std::ops::Range;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::json::escaped_bytes;

/// The types of pictures that all the APIs take.
pub(crate) const COMMON_IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// A picture, a sound, or another file.
#[derive(Clone)]
pub(crate) struct Media<'a> {
    /// Such as `image/png`; `image/*` if it is a picture and nothing else is known.
    pub(crate) mime_type: Cow<'a, str>,
    pub(crate) data: Data<'a>,
    /// The file's name.
    pub(crate) name: Option<Cow<'a, str>>,
    /// How closely an API of `OpenAI` looks at a picture.
    pub(crate) detail: Option<Cow<'a, str>>,
}

#[derive(Clone)]
pub(crate) enum Data<'a> {
    Base64(Cow<'a, str>),
    Url(Cow<'a, str>),
    /// The id of a file that an API keeps.
    Id(Cow<'a, str>),
    /// A file that is a text.
    Text(Cow<'a, str>),
}

impl<'a> Media<'a> {
    pub(crate) fn new(mime_type: impl Into<Cow<'a, str>>, data: Data<'a>) -> Self {
        let mut mime_type = mime_type.into();
        if let (Data::Base64(data), "" | "*/*" | "image/*" | "application/octet-stream") = (&data, &*mime_type) {
            // What files of these types begin with.
            let beginnings = [
                ("iVBORw0KGgo", "image/png"),
                ("/9j/", "image/jpeg"),
                ("R0lGOD", "image/gif"),
                ("UklGR", "image/webp"),
                ("JVBERi0", "application/pdf"),
            ];
            if let Some((_, known)) = beginnings.iter().find(|(beginning, _)| data.starts_with(beginning)) {
                mime_type = Cow::Borrowed(*known);
            }
        }
        if let (Data::Url(url), "" | "*/*" | "image/*" | "application/octet-stream") = (&data, &*mime_type) {
            let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
            let endings = [
                (".png", "image/png"),
                (".jpg", "image/jpeg"),
                (".jpeg", "image/jpeg"),
                (".gif", "image/gif"),
                (".webp", "image/webp"),
                (".pdf", "application/pdf"),
            ];
            if let Some((_, known)) = endings.iter().find(|(ending, _)| path.ends_with(ending)) {
                mime_type = Cow::Borrowed(*known);
            }
        }
        if matches!(&*mime_type, "image/jpg" | "image/pjpeg") {
            mime_type = Cow::Borrowed("image/jpeg");
        }
        Self { mime_type, data, name: None, detail: None }
    }

    /// From an address, which may hold the data itself.
    pub(crate) fn at(address: Cow<'a, str>, mime_type: impl Into<Cow<'a, str>>) -> Self {
        let Some((own_type, data)) = split_data_url(&address) else { return Self::new(mime_type, Data::Url(address)) };
        // A data URL knows best what it holds.
        let own_type = slice(&address, own_type);
        let mime_type = if own_type.is_empty() { mime_type.into() } else { own_type };
        Self::new(mime_type, Data::Base64(slice(&address, data)))
    }

    /// From base64, or from an address in its place.
    pub(crate) fn of(data: Cow<'a, str>, mime_type: impl Into<Cow<'a, str>>) -> Self {
        let is_address = ["http:", "https:", "data:", "gs:", "s3:"].iter().any(|scheme| data.starts_with(scheme));
        if is_address { Self::at(data, mime_type) } else { Self::new(mime_type, Data::Base64(data)) }
    }

    pub(crate) fn named(self, name: Option<Cow<'a, str>>) -> Self {
        Self { name, ..self }
    }

    pub(crate) fn is_image(&self) -> bool {
        self.mime_type.starts_with("image/")
    }

    /// Whether it is a picture of a type that all the APIs take.
    pub(crate) fn is_common_image(&self) -> bool {
        let known = COMMON_IMAGES.contains(&&*self.mime_type);
        // An address need not say which type is behind it.
        known || matches!(self.data, Data::Url(_)) && self.mime_type == "image/*"
    }

    pub(crate) fn is_pdf(&self) -> bool {
        self.mime_type == "application/pdf"
    }

    /// Its address, which may hold the data. `None`: only the API that keeps it can find it.
    pub(crate) fn address(&self) -> Option<Cow<'_, str>> {
        match &self.data {
            Data::Base64(data) => Some(Cow::Owned(format!("data:{};base64,{data}", self.mime_type))),
            Data::Url(url) => Some(Cow::Borrowed(url)),
            Data::Id(_) | Data::Text(_) => None,
        }
    }

    /// What it says, if it is a text.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        let is_text = self.mime_type.starts_with("text/") || ["application/json", "application/xml"].contains(&&*self.mime_type);
        match &self.data {
            Data::Text(text) => Some(Cow::Borrowed(text)),
            // What grows when it is written is no text to read, and could be larger than any answer.
            Data::Base64(data) if is_text => {
                let text = String::from_utf8(decoded(data)?).ok()?;
                (escaped_bytes(&text) <= data.len()).then_some(Cow::Owned(text))
            }
            _ => None,
        }
    }

    /// What stands for it where it can't be sent, such as `[image/png, 150 kB]`.
    pub(crate) fn described(&self) -> String {
        let name = self.name.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
        let what = match &self.data {
            Data::Base64(data) => format!(", {}", size(bytes(data))),
            Data::Url(url) => format!(", {url}"),
            Data::Text(text) => format!(", {}", size(text.len())),
            Data::Id(_) => String::new(),
        };
        format!("[{name}{}{what}]", self.mime_type)
    }

    /// How many bytes of the stored text are no text, and how many tokens these count.
    pub(crate) fn weight(&self) -> (usize, usize) {
        const OF_A_PICTURE: usize = 1600;
        const OF_A_SECOND: usize = 32;
        const OF_4_KIB: usize = 1000;
        let data = match &self.data {
            Data::Text(_) => return (0, 0),
            Data::Base64(data) => data,
            Data::Url(_) | Data::Id(_) => "",
        };
        let tokens = if self.is_image() {
            OF_A_PICTURE
        } else if self.mime_type.starts_with("audio/") {
            OF_A_SECOND * self.seconds()
        } else {
            OF_4_KIB * bytes(data).div_ceil(4096).max(1)
        };
        (data.len(), tokens)
    }

    /// The started seconds of a sound: exactly for WAV, and for other types at 128 kbit/s.
    fn seconds(&self) -> usize {
        let Data::Base64(data) = &self.data else { return 1 };
        let head = data.get(..44).and_then(decoded);
        let rate = head.filter(|head| head.starts_with(b"RIFF")).and_then(|head| head.get(28..32)?.try_into().ok());
        let a_second = rate.map_or(16_000, u32::from_le_bytes).max(1);
        bytes(data).div_ceil(usize::try_from(a_second).unwrap_or(usize::MAX)).max(1)
    }
}

fn decoded(data: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(data).ok()
}

/// How many bytes base64 stands for.
fn bytes(data: &str) -> usize {
    data.trim_end_matches('=').len() * 3 / 4
}

/// Bytes for people to read.
fn size(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} bytes"),
        1000..1_000_000 => format!("{} kB", (bytes + 500) / 1000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// The ranges of the media type and of the data in a `data:` URL of base64.
fn split_data_url(address: &str) -> Option<(Range<usize>, Range<usize>)> {
    let (head, data) = address.strip_prefix("data:")?.split_once(',')?;
    let parameters = head.strip_suffix(";base64")?;
    let mime_type = parameters.split(';').next().unwrap_or_default();
    Some((5..5 + mime_type.len(), address.len() - data.len()..address.len()))
}

fn slice<'a>(text: &Cow<'a, str>, range: Range<usize>) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(range).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(range).unwrap_or_default().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_described() {
        let png = |bytes: usize| Media::new("image/png", Data::Base64("A".repeat(bytes / 3 * 4).into()));
        assert_eq!(png(9).described(), "[image/png, 9 bytes]");
        assert_eq!(png(150_000).described(), "[image/png, 150 kB]");
        assert_eq!(png(1_500_000).named(Some("a.png".into())).described(), "[a.png, image/png, 1.5 MB]");
    }
}
