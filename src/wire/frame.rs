//! Frames: a length, a flag, and a JSON document or a piece of content, compressed where that pays.
//!
//! ```text
//! u32  length of what follows, big-endian (at most 64 MiB)
//! u8   0 = document, 1 = document with zstd, 2 = piece, 3 = piece with zstd
//! …    one JSON document, or at most 1 MiB of content; a piece of nothing is the content's end
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The longest frame either side accepts, in bytes. An announced length is checked before anything is allocated.
pub const MAX_LEN: usize = 64 << 20;
/// The most that one frame may hold once decompressed, in bytes.
const MAX_PLAIN: usize = 256 << 20;
/// The longest piece of content, in bytes.
pub const MAX_PIECE: usize = 1 << 20;
/// Below this size compression costs more than it saves.
const COMPRESS_FROM: usize = 512;
/// The length and the flag.
pub const HEADER_LEN: usize = 5;

/// Encodes a message as one frame.
///
/// # Errors
/// Fails where the message is longer than [`MAX_LEN`] allows.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(message).map_err(|error| Error::failed("encoding a frame").because(error))?;
    if json.len() < COMPRESS_FROM { framed(0, &json) } else { framed(1, &zstd::encode_all(&json[..], 3)?) }
}

/// Encodes a piece of content as one frame. A piece of nothing is the content's end.
///
/// # Errors
/// Fails where the piece is longer than [`MAX_PIECE`].
pub fn encode_piece(piece: &[u8]) -> Result<Vec<u8>> {
    if piece.len() > MAX_PIECE {
        return Err(Error::failed(format!("a piece of {} bytes is longer than {MAX_PIECE}", piece.len())));
    }
    let small = if piece.len() < COMPRESS_FROM { None } else { Some(zstd::encode_all(piece, 1)?) };
    match small.filter(|small| small.len() < piece.len()) {
        Some(small) => framed(3, &small),
        None => framed(2, piece),
    }
}

/// As [`encode_piece`], of what nothing could compress.
///
/// # Errors
/// Fails where the piece is longer than [`MAX_PIECE`].
pub fn encode_noise(piece: &[u8]) -> Result<Vec<u8>> {
    if piece.len() > MAX_PIECE {
        return Err(Error::failed(format!("a piece of {} bytes is longer than {MAX_PIECE}", piece.len())));
    }
    framed(2, piece)
}

/// Whether what follows the length of a frame is a piece of content, and if so, whether it is the content's end.
pub fn as_piece(body: &[u8]) -> Option<bool> {
    matches!(body.first(), Some(2 | 3)).then_some(body.len() == 1)
}

fn framed(flag: u8, body: &[u8]) -> Result<Vec<u8>> {
    let length = body.len() + 1;
    if length > MAX_LEN {
        return Err(Error::failed(format!(
            "a frame of {length} bytes is longer than the {MAX_LEN} that a node accepts"
        ))
        .hint("files of more than 1 MiB in the fleet's `files/` are sent apart from the plan; what is too long is the rest"));
    }
    let mut frame = Vec::with_capacity(HEADER_LEN + body.len());
    frame.extend_from_slice(&u32::try_from(length).expect("at most MAX_LEN").to_be_bytes());
    frame.push(flag);
    frame.extend_from_slice(body);
    Ok(frame)
}

/// Reads the length of what follows the first four bytes (flag and document).
///
/// # Errors
/// Fails where the length is none that a peer of ours would send; the stream is then not one of ours.
pub fn length(header: [u8; 4]) -> Result<usize> {
    let length = u32::from_be_bytes(header) as usize;
    if (1..=MAX_LEN).contains(&length) {
        return Ok(length);
    }
    Err(Error::failed(format!(
        "the peer's answer does not begin with a frame (it begins with {:?})",
        String::from_utf8_lossy(&header)
    ))
    .hint("a shell start-up file on the node that prints something would do this"))
}

/// Decodes what follows the length.
///
/// # Errors
/// Fails where the frame is broken, or is a message of another protocol.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    use std::io::Read;
    let (flag, document) = body.split_first().ok_or_else(|| Error::failed("an empty frame"))?;
    let parsed = match flag {
        0 => serde_json::from_slice(document),
        1 => {
            let mut plain = Vec::new();
            zstd::Decoder::new(document)?.take(MAX_PLAIN as u64 + 1).read_to_end(&mut plain)?;
            if plain.len() > MAX_PLAIN {
                return Err(Error::failed("a frame decompresses to more than 256 MiB"));
            }
            serde_json::from_slice(&plain)
        }
        _ => return Err(Error::failed(format!("a frame with the unknown flag {flag}"))),
    };
    parsed.map_err(|error| Error::failed("a frame that is not a message of this protocol").because(error))
}

/// Reads one frame from a blocking stream; `None` where the peer has closed it between frames.
///
/// # Errors
/// Fails where the stream ends inside a frame or the frame is broken.
pub fn read<T: DeserializeOwned>(reader: &mut (impl std::io::Read + ?Sized)) -> Result<Option<T>> {
    body(reader)?.map(|body| decode(&body)).transpose()
}

/// Reads a piece of content from a blocking stream; nothing at the content's end.
///
/// # Errors
/// Fails where the stream ends, and where what comes is no piece of content.
pub fn read_piece(reader: &mut (impl std::io::Read + ?Sized)) -> Result<Vec<u8>> {
    use std::io::Read;
    let body = body(reader)?.ok_or_else(|| Error::failed("the stream ended in the middle of a file's content"))?;
    let mut piece = Vec::new();
    match body.split_first() {
        Some((2, bytes)) => piece.extend_from_slice(bytes),
        Some((3, bytes)) => {
            zstd::Decoder::new(bytes)?.take(MAX_PIECE as u64 + 1).read_to_end(&mut piece)?;
        }
        _ => return Err(Error::failed("a frame that is not a piece of a file's content")),
    }
    if piece.len() > MAX_PIECE {
        return Err(Error::failed("a piece of a file's content is longer than 1 MiB"));
    }
    Ok(piece)
}

fn body(reader: &mut (impl std::io::Read + ?Sized)) -> Result<Option<Vec<u8>>> {
    let mut header = [0; 4];
    let mut have = 0;
    while have < header.len() {
        match reader.read(&mut header[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(Error::failed("the stream ended inside a frame")),
            Ok(n) => have += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut body = vec![0; length(header)?];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}

/// Writes one frame to a blocking stream and flushes it.
///
/// # Errors
/// Fails as the stream does.
pub fn write(writer: &mut (impl std::io::Write + ?Sized), message: &impl Serialize) -> Result<()> {
    writer.write_all(&encode(message)?)?;
    writer.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_survives(text in ".{0,2000}") {
            let frame = encode(&text).unwrap();
            prop_assert_eq!(read::<String>(&mut &frame[..]).unwrap(), Some(text));
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<serde_json::Value>(&bytes);
            let _ = read::<serde_json::Value>(&mut &bytes[..]);
            let _ = read_piece(&mut &bytes[..]);
        }

        #[test]
        fn any_content_survives(content in proptest::collection::vec(any::<u8>(), 0..3000), times in 1..300_usize) {
            let content = content.repeat(times);
            let frames = content.chunks(MAX_PIECE).chain([&[][..]]).map(|piece| encode_piece(piece).unwrap());
            let frames = frames.collect::<Vec<_>>().concat();
            let (mut rest, mut back) = (&frames[..], Vec::new());
            loop {
                let piece = read_piece(&mut rest).unwrap();
                if piece.is_empty() { break }
                back.extend(piece);
            }
            prop_assert!(back == content && rest.is_empty());
        }
    }

    #[test]
    fn a_cut_stream_is_not_a_clean_end() {
        let frame = encode(&"hello").unwrap();
        assert!(read::<String>(&mut &frame[..3]).is_err());
        assert!(read::<String>(&mut &frame[..frame.len() - 1]).is_err());
        assert_eq!(read::<String>(&mut &b""[..]).unwrap(), None);
    }

    #[test]
    fn a_banner_is_named_as_such() {
        let error = read::<String>(&mut &b"Welcome to Debian"[..]).unwrap_err();
        assert!(error.to_string().contains("Welc"), "{error}");
    }
}
