//! Where tensors live. The only place that names burn's backends.

pub use burn::tensor::Device;
pub use moue_kernels::{compute_exactly, computes_exactly};

use super::error::{Error, Result};

/// The device of a name.
///
/// `auto` is the first GPU this program was built for and finds, else the CPU; `cpu` is burn's flex backend;
/// `cuda` or `cuda:1` and `wgpu` need the Cargo feature of that name.
///
/// # Errors
/// [`Error::Device`] for an unknown name, a device that this build or this machine lacks, or a GPU that cannot compute: `auto`
/// does not pass over it, for nobody who has one wants to find a training on the CPU.
pub fn device(name: &str) -> Result<Device> {
    match name {
        "auto" => Ok(gpu()?.unwrap_or_else(Device::flex)),
        "cpu" => Ok(Device::flex()),
        _ if name == "cuda" || name.starts_with("cuda:") => cuda(name),
        "wgpu" => wgpu(),
        _ => Err(Error::device(format!("there is no device '{name}'"), "use auto, cpu, cuda:0 or wgpu")),
    }
}

/// A device's name as `--device` has it, and for a GPU whether it computes exactly: `cpu`, `cuda:0`, `wgpu, exact`.
pub fn describe(device: &Device) -> String {
    if *device == Device::flex() {
        return "cpu".to_string();
    }
    let name = format!("{device:?}"); // Device<Cube(Cuda(Cuda(0)))>
    let name = match name.split_once("Cuda(Cuda(") {
        Some((_, rest)) => format!("cuda:{}", rest.trim_end_matches([')', '>'])),
        None if name.contains("Wgpu") => "wgpu".to_string(),
        None => name,
    };
    if computes_exactly() { format!("{name}, exact") } else { name }
}

/// Waits until all work given to the device is done, so that a clock around it tells the truth.
pub fn synchronise(device: &Device) {
    // A failed synchronisation shows at the next read of a tensor.
    let _ = device.sync();
}

fn gpu() -> Result<Option<Device>> {
    #[cfg(feature = "cuda")]
    if cuda_count() > 0 {
        return cuda("cuda:0").map(Some);
    }
    #[cfg(feature = "wgpu")]
    if let Ok((device, true)) = found_by_wgpu() {
        return Ok(Some(device));
    }
    Ok(None)
}

/// How many GPUs of NVIDIA's there are. Without a driver none, where opening a device panics deep inside.
#[cfg(feature = "cuda")]
fn cuda_count() -> usize {
    Device::enumerate(burn::tensor::DeviceType::Cuda).len()
}

#[cfg(feature = "cuda")]
fn cuda(name: &str) -> Result<Device> {
    let index = name.strip_prefix("cuda:").unwrap_or("0");
    let index: usize = index
        .parse()
        .map_err(|_| Error::device(format!("'{name}' does not name a GPU"), "write cuda:0, cuda:1, …"))?;
    match cuda_count() {
        0 => Err(Error::device("no GPU of NVIDIA's was found", "install its driver, or use --device cpu")),
        count if index >= count => {
            let found = (0..count).map(|index| format!("cuda:{index}")).collect::<Vec<_>>().join(", ");
            Err(Error::device(format!("there is no {name}"), format!("use {found}, or --device cpu")))
        }
        _ => with_toolkit(Device::cuda(index), name),
    }
}

/// The device, once it has computed what needs more than a driver: functions such as `exp` are in CUDA's toolkit.
#[cfg(feature = "cuda")]
fn with_toolkit(device: Device, name: &str) -> Result<Device> {
    let one = burn::tensor::Tensor::<1>::ones([1], &device);
    let computed = one.exp().try_into_data().map(|_| device);
    computed.map_err(|error| {
        let error = error.to_string();
        if error.contains("libdevice") {
            let hint = "install it, or name its folder by CUDA_PATH, or use --device cpu";
            return Error::device(format!("{name} needs CUDA's toolkit: there is no nvvm/libdevice"), hint);
        }
        let why = error.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        Error::device(format!("{name} cannot compute: {why}"), "update its driver, or use --device cpu")
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(_name: &str) -> Result<Device> {
    let hint = "build it with `--features cuda`, or use --device cpu";
    Err(Error::device("this program was built without CUDA", hint))
}

/// The device that wgpu prefers, and whether it is a GPU: a driver in software says that it is a CPU.
#[cfg(feature = "wgpu")]
fn found_by_wgpu() -> Result<(Device, bool)> {
    use std::sync::OnceLock;

    use burn::tensor::wgpu::wgpu::DeviceType;

    // It can be started once only.
    static FOUND: OnceLock<std::result::Result<(Device, bool), String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let (device, setup) = Device::wgpu_options().init_with_setup().map_err(|error| error.to_string())?;
        Ok((device, setup.adapter.get_info().device_type != DeviceType::Cpu))
    });
    let hint = "install the GPU's driver for Vulkan, Metal or DirectX 12, or use --device cpu";
    found.clone().map_err(|message| Error::device(format!("wgpu finds no GPU: {message}"), hint))
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device> {
    found_by_wgpu().map(|(device, _)| device)
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device> {
    let hint = "build it with `--features wgpu`, or use --device cpu";
    Err(Error::device("this program was built without wgpu", hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_devices_or_to_a_remedy() {
        assert!(device("cpu").is_ok());
        assert!(device("auto").is_ok());
        assert!(device("gpu").unwrap_err().hint().unwrap().contains("cuda:0"));
        #[cfg(not(feature = "cuda"))]
        assert!(device("cuda:0").unwrap_err().hint().unwrap().contains("--features cuda"));
        #[cfg(feature = "cuda")]
        assert!(device("cuda:1000").is_err() && device("cuda:x").is_err());
        #[cfg(not(feature = "wgpu"))]
        assert!(device("wgpu").unwrap_err().hint().unwrap().contains("--features wgpu"));
    }
}
