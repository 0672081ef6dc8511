//! What makes a fault of memory harder to use: set by compiler and linker, and easily lost.

use portunus_tests::{command, foreign};

#[tokio::test]
async fn the_binary_is_placed_at_random_and_nothing_in_it_is_both_written_and_executed() {
    let Some(readelf) = foreign::readelf() else { return };
    let said = readelf.args(["-hldW"]).arg(command().get_program()).run().await;
    let said = said.expect_success();
    let line = |start: &str| {
        let found = said.lines().map(str::trim).find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no line {start:?} in {said}"))
    };
    assert!(line("Type:").contains("DYN"), "position independent: {said}");
    assert!(line("GNU_STACK").contains(" RW "), "no stack is executed: {said}");
    line("GNU_RELRO");
    let is_bound = |line: &str| line.contains("BIND_NOW") || line.contains("NOW PIE");
    assert!(said.lines().any(is_bound), "what the linker wrote is read only: {said}");
    let both = said.lines().filter(|line| line.trim().starts_with("LOAD") && line.contains("RWE"));
    assert_eq!(both.count(), 0, "{said}");
}
