"""The bundled datasets with their dataset_info.json."""
