//! The upload of a template: streamed to the disk, and put into its place by a task.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use axum::http::{HeaderMap, Request, header};
use pvect_core::schema::{Format, Kind};
use pvect_node::storage::dir::is_template;
use pvect_node::worker::{self, Job};
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};
use tempfile::NamedTempFile;
use tokio::time::timeout;

use super::{Asked, storage};

use crate::params::{TEXT, optional, required};
use crate::refusal::Refusal;
use crate::shared::blocking;

/// The longest field other than the file, bytes.
const FIELD_LIMIT: usize = 16 * 1024;
/// The most fields of a form.
const MOST_FIELDS: usize = 16;

/// The digests that are computed while a file arrives.
#[derive(Default)]
struct Sums {
    sha256: Sha256,
    sha512: Sha512,
}

/// `POST /nodes/{node}/storage/{storage}/upload`, multipart: fields `content`, `checksum`, `checksum-algorithm`, and the
/// file as `filename`.
pub(crate) async fn upload(mut asked: Asked, headers: &HeaderMap, body: Body) -> Result<Value, Refusal> {
    let path = format!("/storage/{}", asked.part("storage"));
    asked.check(&path, "Datastore.AllocateTemplate")?;
    asked.check_node()?;
    let found = storage::find(&asked)?;
    if !found.holds("vztmpl") {
        return Err(Refusal::failed(format!("storage '{}' does not support 'vztmpl' content", found.name)));
    }
    // A network file system may never answer.
    let name_of_storage = found.name.clone();
    let cache = blocking(move || {
        found.activate().map_err(|failure| Refusal::of_failure(&failure))?;
        Ok(found.directories().map_err(|failure| Refusal::of_failure(&failure))?.of("vztmpl"))
    })
    .await?;
    let patience = asked.shared.options.body;
    let limit = asked.shared.options.upload_limit;

    let mut request = Request::new(body);
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        request.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    // We check the limit ourselves, below.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| broken())?;
    let (mut file, mut fields) = (None, 0);
    while let Some(mut field) =
        timeout(patience, form.next_field()).await.map_err(|_| late())?.map_err(|_| broken())?
    {
        fields += 1;
        if fields > MOST_FIELDS {
            return Err(Refusal::new(413, "upload failed: too many fields"));
        }
        let name = field.name().unwrap_or_default().to_owned();
        if name == "filename" && field.file_name().is_some() {
            let given = field.file_name().unwrap_or_default().to_owned();
            if file.is_some() {
                return Err(Refusal::new(400, "upload failed: there is more than one file"));
            }
            asked.params.add("filename".to_owned(), given)?;
            file = Some(receive(&mut field, &cache, patience, limit).await?);
            continue;
        }
        let mut text = Vec::new();
        while let Some(chunk) =
            timeout(patience, field.chunk()).await.map_err(|_| late())?.map_err(|_| broken())?
        {
            text.extend_from_slice(&chunk);
            if text.len() > FIELD_LIMIT {
                return Err(Refusal::new(413, "form data to large - abort upload"));
            }
        }
        asked.params.add(name, String::from_utf8(text).map_err(|_| broken())?)?;
    }
    asked.params.check(&[
        required("content", Kind::Enum(&["vztmpl"])),
        required("filename", TEXT),
        optional("checksum", TEXT),
        optional("checksum-algorithm", Kind::Enum(&["sha256", "sha512"])),
        optional("tmpfilename", Kind::Text(Format::FilePath)),
    ])?;
    let (target, sums) = file.ok_or_else(|| Refusal::new(501, "upload failed"))?;
    check_sum(&asked, sums)?;
    let name = normal_name(asked.params.get("filename").unwrap_or_default());
    if !is_template(&name) {
        return Err(Refusal::parameter("filename", "wrong file extension"));
    }
    let (_, temporary) =
        target.keep().map_err(|error| Refusal::failed(format!("can't keep the upload - {error}")))?;
    let words = vec![temporary.to_string_lossy().into_owned(), name_of_storage, name];
    let started = asked.shared.workers.start(Job::named(asked.who.clone(), worker::PLACE, words)).await;
    if started.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    started
}

fn broken() -> Refusal {
    Refusal::new(400, "upload failed: the form broke off or is malformed")
}

fn late() -> Refusal {
    Refusal::new(408, "upload failed: nothing arrived for too long")
}

/// Writes a file of the form into the storage's cache as it arrives.
async fn receive(
    field: &mut Field<'_>,
    cache: &Path,
    patience: Duration,
    limit: u64,
) -> Result<(NamedTempFile, Sums), Refusal> {
    let mut target = NamedTempFile::with_prefix_in(".upload-", cache)
        .map_err(|error| Refusal::failed(format!("can't write to the storage - {error}")))?;
    let (mut sums, mut length) = (Sums::default(), 0_u64);
    while let Some(chunk) =
        timeout(patience, field.chunk()).await.map_err(|_| late())?.map_err(|_| broken())?
    {
        length += chunk.len() as u64;
        if length > limit {
            return Err(Refusal::new(413, format!("upload failed: longer than {limit} bytes")));
        }
        (target, sums) = blocking(move || {
            sums.sha256.update(&chunk);
            sums.sha512.update(&chunk);
            target
                .write_all(&chunk)
                .map_err(|error| Refusal::failed(format!("write to temporary file failed - {error}")))?;
            Ok((target, sums))
        })
        .await?;
    }
    Ok((target, sums))
}

fn check_sum(asked: &Asked, sums: Sums) -> Result<(), Refusal> {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let (Some(wanted), Some(algorithm)) =
        (asked.params.get("checksum"), asked.params.get("checksum-algorithm"))
    else {
        return Ok(());
    };
    let got = match algorithm {
        "sha256" => hex(&sums.sha256.finalize()),
        _ => hex(&sums.sha512.finalize()),
    };
    if got.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Refusal::parameter("checksum", format!("checksum mismatch: got '{got}' != expect '{wanted}'")))
}

/// The last part of a file's name, with everything but letters, digits, `.`, `-` and `_` replaced by `_`.
fn normal_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .collect();
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        for (given, name) in [
            ("a.tar.zst", "a.tar.zst"),
            ("../../etc/x.tar.gz", "x.tar.gz"),
            ("C:\\dir\\a b.tar.xz", "a_b.tar.xz"),
            (".hidden.tar", "hidden.tar"),
            ("..", ""),
        ] {
            assert_eq!(normal_name(given), name);
        }
    }
}
