//! What the allocator keeps of freed memory, for commands that run long. glibc's
//! gives eight arenas to a processor, each of which keeps what was freed in it, and
//! keeps ever larger blocks once a large one was freed: after 200,000 stores 500 MiB
//! were kept and 147 in use (docs/SCALE.md). It is told otherwise before it begins:
//! by its environment, in a process that takes the place of this one.

/// Starts this program anew in the same process, with an allocator that gives back
/// what it does not need. Returns where that cannot be or was done before.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn restrain() {
    use std::{
        env, os::unix::process::CommandExt, path::Path, process::Command, thread::available_parallelism,
    };

    const TUNABLES: &str = "GLIBC_TUNABLES";
    /// Blocks from here on are mapped, and the system's again when they are freed.
    const BLOCK_BYTES_MAX: usize = 4 << 20;
    /// Free bytes at the end of an arena from which on they go back to the system. With 1 MiB
    /// for both, a CT slice had 225 page faults and took four times as long.
    const FREE_BYTES_MAX: usize = 16 << 20;
    /// Free blocks of each size up to 1 KiB that a thread keeps for itself, without a lock: 1 MiB at most.
    const CACHED_BLOCKS_MAX: usize = 32;

    // Whoever set these knows better.
    if env::var_os(TUNABLES).is_some() || env::var_os("MALLOC_ARENA_MAX").is_some() {
        return;
    }
    let mut arguments = env::args_os();
    let (Some(name), Ok(binary)) = (arguments.next(), env::current_exe()) else { return };
    // Started by a loader or an emulator, what runs is that and not this program.
    if Path::new(&name).file_name() != binary.file_name() {
        return;
    }
    // Two to a processor: with one, workers shared theirs, and waited for each other's lock in a
    // tenth of the time of a tile. Without fast bins, whose small blocks are put together again at
    // every large one: beside the cache of each thread they gain nothing, and a thousand results
    // took a sixth longer.
    let arenas = 2 * available_parallelism().map_or(1, usize::from);
    let tunables = format!(
        "glibc.malloc.arena_max={arenas}:glibc.malloc.tcache_count={CACHED_BLOCKS_MAX}:\
         glibc.malloc.mmap_threshold={BLOCK_BYTES_MAX}:glibc.malloc.trim_threshold={FREE_BYTES_MAX}:\
         glibc.malloc.mxfast=0"
    );
    // It only comes back with an error, and then all goes on with more memory.
    let _ = Command::new(binary).arg0(name).args(arguments).env(TUNABLES, tunables).exec();
}

/// Of other allocators nothing is known that would have to be told.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn restrain() {}
