"""What a description claims of its lab, resolved to addresses and places, and the verdict on what was seen there."""
