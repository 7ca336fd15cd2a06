//! Faces are found where they are: in photos made of the repository's rendered faces, and, where `MOUE_PHOTOS` names a
//! folder of photographs with `eyes.csv`, in those.

mod compose;
mod photographs;
mod rendered;
