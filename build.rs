//! Compiles the protos without protoc: messages, clients, servers, and the descriptor set that reflection serves.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;

/// Messages of others that no field of ours has, but the details of every error: reflection knows them too.
const DETAILS: [&str; 2] = ["google/rpc/error_details.proto", "google/rpc/status.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let package = Path::new("proto/creditledger/v1");
    println!("cargo:rerun-if-changed=proto/creditledger");
    println!("cargo:rerun-if-changed=proto/third_party");
    // sqlx::migrate! embeds the files that it finds; one that is added later would go unnoticed.
    println!("cargo:rerun-if-changed=migrations");
    let mut protos = Vec::new();
    for entry in std::fs::read_dir(package)? {
        protos.push(entry?.path());
    }
    // The order of a directory is not defined; that of the generated code should be.
    protos.sort();
    protos.extend(DETAILS.map(PathBuf::from));
    let mut compiler = protox::Compiler::new(["proto", "proto/third_party"])?;
    compiler.include_imports(true).include_source_info(true).open_files(protos)?;
    // Encoded by the compiler itself: what prost-types decodes has lost the options that are not protobuf's own, such as
    // the behaviour of fields.
    let descriptors = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), &descriptors)?;
    tonic_prost_build::configure()
        .btree_map(".")
        .codec_path("crate::grpc::codec::SmallCodec")
        .extern_path(".google.type.Date", "crate::grpc::wire::Date")
        .compile_fds(tonic_prost_build::FileDescriptorSet::decode(descriptors.as_slice())?)?;
    Ok(())
}
