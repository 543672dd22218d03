//! Store (STOW-RS): PS3.18 section 10.5, rows STO-01 to 22 and STR-1, 2.

mod bodies;
mod coercion;
mod duplicates;
mod hostile;
mod metadata;
mod outcomes;
