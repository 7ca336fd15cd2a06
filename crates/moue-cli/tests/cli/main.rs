//! The program from outside: what it writes, says and returns.

mod bad_input;
mod bad_training_input;
mod fewer_expressions;
mod fid;
mod full_disk;
mod judging;
mod photos;
mod prepare;
mod program;
mod sets;
mod summary;
mod train;
mod translate;
mod weights;
