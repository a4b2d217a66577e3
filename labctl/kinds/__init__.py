"""The clouds' nouns, one file each: fields, what is refused, what each becomes in the model."""
