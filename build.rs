//! Compiles the protos without protoc: messages, clients, servers, and the descriptor set that reflection serves.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let package = Path::new("proto/creditledger/v1");
    println!("cargo:rerun-if-changed={}", package.display());
    // sqlx::migrate! embeds the files that it finds; one that is added later would go unnoticed.
    println!("cargo:rerun-if-changed=migrations");
    let mut protos = Vec::new();
    for entry in std::fs::read_dir(package)? {
        protos.push(entry?.path());
    }
    // The order of a directory is not defined; that of the generated code should be.
    protos.sort();
    let descriptors = protox::compile(&protos, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .btree_map(".")
        .codec_path("crate::grpc::codec::SmallCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
