//! A migration that is new makes the crate build again; the macro that embeds them does not see new files.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
